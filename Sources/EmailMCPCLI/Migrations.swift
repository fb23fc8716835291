import PostgresClient

/// The schema's steps, from `Migrations/*.sql`, which the build embeds in the binary.
enum Migrations {
  static let all: [Migration] = [
    migration(1, "tenants", PackageResources._001_tenants_sql),
    migration(2, "accounts", PackageResources._002_accounts_sql),
    migration(3, "email_logs", PackageResources._003_email_logs_sql),
    migration(4, "queue", PackageResources._004_queue_sql),
    migration(5, "reports", PackageResources._005_reports_sql),
    migration(6, "audit_and_limits", PackageResources._006_audit_and_limits_sql),
    migration(7, "sending", PackageResources._007_sending_sql),
    migration(8, "suppressions", PackageResources._008_suppressions_sql),
    migration(9, "webhooks", PackageResources._009_webhooks_sql),
    migration(10, "batches", PackageResources._010_batches_sql),
    migration(11, "capacity", PackageResources._011_capacity_sql),
    migration(12, "too_late", PackageResources._012_too_late_sql),
    migration(13, "turns", PackageResources._013_turns_sql),
    migration(14, "project", PackageResources._014_project_sql),
    migration(15, "lock_order", PackageResources._015_lock_order_sql),
    migration(16, "take_back", PackageResources._016_take_back_sql),
    migration(17, "patience", PackageResources._017_patience_sql),
    migration(18, "parked", PackageResources._018_parked_sql),
    migration(19, "locks", PackageResources._019_locks_sql),
    migration(20, "queue_age", PackageResources._020_queue_age_sql),
    migration(21, "watch", PackageResources._021_watch_sql),
    migration(22, "webhook_shares", PackageResources._022_webhook_shares_sql),
    migration(23, "batch_costs", PackageResources._023_batch_costs_sql),
    migration(24, "token_batches", PackageResources._024_token_batches_sql),
    migration(25, "webhook_removal", PackageResources._025_webhook_removal_sql),
    migration(26, "turns_across_claims", PackageResources._026_turns_across_claims_sql),
    migration(27, "webhook_administration", PackageResources._027_webhook_administration_sql),
    migration(28, "ambiguous_tries", PackageResources._028_ambiguous_tries_sql),
    migration(29, "shared_turns", PackageResources._029_shared_turns_sql),
    migration(30, "webhook_changes", PackageResources._030_webhook_changes_sql),
    migration(31, "plans", PackageResources._031_plans_sql),
    migration(32, "pauses", PackageResources._032_pauses_sql),
    migration(33, "bulk_turns", PackageResources._033_bulk_turns_sql),
    migration(34, "suppressed_since", PackageResources._034_suppressed_since_sql),
    migration(35, "cancelled_day", PackageResources._035_cancelled_day_sql),
    migration(36, "disabled_tenants", PackageResources._036_disabled_tenants_sql),
  ]

  private static func migration(_ version: Int, _ name: String, _ sql: [UInt8]) -> Migration {
    Migration(version: version, name: name, sql: String(decoding: sql, as: UTF8.self))
  }
}
