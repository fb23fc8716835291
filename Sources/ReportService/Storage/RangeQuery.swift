import CivilTime
import PostgresClient

/// Finds the instants of a range, by the time zones of the database.
enum RangeQuery {
  /// A day begins at its zone's first instant that a clock there shows with that date. Where the clock shows midnight
  /// twice (Azores, Havana), Postgres takes the second one: hence the search backwards, on the grid of 15 minutes.
  static let statement: Statement = """
    WITH asked AS (
      SELECT $1::text AS zone, $2::date AS start_date, $3::timestamptz AS start_time, $4::date AS end_date,
        $5::timestamptz AS end_time, (now() AT TIME ZONE $1::text)::date AS today
    ), days AS (
      SELECT zone, start_time, end_time, today,
        CASE WHEN end_time IS NULL THEN coalesce(end_date, today) END AS end_date,
        CASE WHEN start_time IS NULL THEN coalesce(start_date,
          coalesce(end_date, ((end_time - interval '1 microsecond') AT TIME ZONE zone)::date, today) - $6::integer) END
          AS start_date
      FROM asked
    ), bounds AS (
      SELECT days.*,
        coalesce(start_time, (SELECT min(c - k * interval '15 minutes')
          FROM (SELECT start_date::timestamp AT TIME ZONE zone AS c) AS midnight, generate_series(0, 12) AS k
          WHERE ((c - k * interval '15 minutes') AT TIME ZONE zone)::date >= start_date)) AS low,
        coalesce(end_time, (SELECT min(c - k * interval '15 minutes')
          FROM (SELECT (end_date + 1)::timestamp AT TIME ZONE zone AS c) AS midnight, generate_series(0, 12) AS k
          WHERE ((c - k * interval '15 minutes') AT TIME ZONE zone)::date >= end_date + 1)) AS high,
        (SELECT min(c - k * interval '15 minutes')
          FROM (SELECT today::timestamp AT TIME ZONE zone AS c) AS midnight, generate_series(0, 12) AS k
          WHERE ((c - k * interval '15 minutes') AT TIME ZONE zone)::date >= today) AS today_low,
        (SELECT min(c - k * interval '15 minutes')
          FROM (SELECT (today + 1)::timestamp AT TIME ZONE zone AS c) AS midnight, generate_series(0, 12) AS k
          WHERE ((c - k * interval '15 minutes') AT TIME ZONE zone)::date >= today + 1) AS today_high
      FROM days
    )
    SELECT now(), start_date, low, end_date, high, (low AT TIME ZONE zone)::date,
      ((high - interval '1 microsecond') AT TIME ZONE zone)::date,
      (high AT TIME ZONE zone) - (low AT TIME ZONE zone) > make_interval(days => $7::integer), today_low, today_high
    FROM bounds
    """

  static func parameters(_ range: RequestedRange) -> [PostgresValue] {
    [.text(range.zone)] + parameters(range.start) + parameters(range.end)
      + [.int4(Int32(ReportRange.defaultDays - 1)), .int4(Int32(ReportRange.maximumDays))]
  }

  private static func parameters(_ bound: RequestedRange.Bound?) -> [PostgresValue] {
    switch bound {
    case .date(let date): [.date(date), .timestamp(nil)]
    case .time(let time): [.date(nil), .timestamp(time)]
    case nil: [.date(nil), .timestamp(nil)]
    }
  }

  /// - Throws: ``RangeProblem``.
  static func range(_ row: PostgresRow, _ requested: RequestedRange) throws -> ReportRange {
    let startDate: CivilDate? = try row[1]
    let endDate: CivilDate? = try row[3]
    let (low, high): (Timestamp, Timestamp) = (try row[2], try row[4])
    // Days in the wrong order that follow one another have equal bounds.
    let isReversed = if let startDate, let endDate { startDate > endDate } else { low > high }
    guard !isReversed else { throw RangeProblem.reversed }
    guard try !row.column(7, as: Bool.self) else { throw RangeProblem.tooLarge }
    let (firstDay, lastDay): (CivilDate, CivilDate) = (try row[5], try row[6])
    return ReportRange(
      start: startDate.map { .date($0) } ?? .time(low), end: endDate.map { .date($0) } ?? .time(high),
      zone: requested.zone, interval: InstantRange(low, high),
      days: low < high ? firstDay...max(firstDay, lastDay) : nil,
      today: InstantRange(try row[8], try row[9]), asOf: try row[0])
  }
}
