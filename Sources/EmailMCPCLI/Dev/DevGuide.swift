import StrictJSON

/// What a person needs once everything runs: addresses, the key, and three lines to paste.
struct DevGuide {
  let settings: DevSettings
  let key: String

  var text: String {
    """

    EmailMCP is running. Ctrl-C stops it; the data stays in \(settings.folder.path).

      API      \(settings.edgeURL)/v1
      API key  \(key)
      inbox    \(settings.sandboxURL)/   (what the stand-in for Gmail received)

    1. Connect the user ada, who allows it to ada@example.com on Google's page:

    \(connect)

    2. Send from her account:

    \(send)

    3. See it in her report:

    \(report)

    To click through the consent page yourself, open the "authorization_url" that this prints in a browser:

    \(authorize)

    """
  }

  private var header: String { "-H 'Authorization: Bearer \(key)'" }
  private var json: String { "-H 'Content-Type: application/json'" }

  private var authorize: String {
    """
    curl -s \(header) \(json) -d '{"user_id":"ada","redirect_url":"\(settings.platformPage)"}' \(settings.edgeURL)/v1/oauth/authorize
    """
  }

  /// One line that plays all the parts: the platform asks for the URL, the person allows it, the browser lands on the
  /// platform's page with code and state, and the platform completes with them.
  private var connect: String {
    """
    curl -s -X POST \(header) "\(settings.edgeURL)/v1/oauth/callback?user_id=ada&$(curl -sL -o /dev/null -w '%{url_effective}' -d account=ada@example.com -d decision=allow "$(\(authorize) | sed 's/.*"authorization_url":"\\([^"]*\\)".*/\\1/')" | sed 's/^[^?]*?//')"
    """
  }

  private var send: String {
    """
    curl -s \(header) \(json) -d '{"to":["grace@example.com"],"subject":"Hello","body":"Sent by EmailMCP."}' \(settings.edgeURL)/v1/users/ada/messages
    """
  }

  private var report: String { "curl -s \(header) \(settings.edgeURL)/v1/reports/users/ada" }

  /// The same for programs.
  func json(binaries: String, database: EmbeddedPostgres) -> [UInt8] {
    let ports = settings.ports
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("api", settings.edgeURL)
      writer.member("key", key)
      writer.member("sandbox", settings.sandboxURL)
      writer.member("platform_page", settings.platformPage)
      writer.member("data", settings.folder.path)
      writer.member("identities", settings.folder.identities.folder)
      writer.member("binaries", binaries)
      writer.member("owner_database_url", database.url(EmbeddedPostgres.owner))
      for (name, port) in [
        ("edge", ports.edge), ("oauth", ports.oauth), ("mailer", ports.mailer), ("report", ports.report),
      ] {
        writer.member(name) { writer in
          writer.object { writer in
            writer.member("port", port.listen)
            writer.member("admin_port", port.admin)
          }
        }
      }
    }
    return writer.finish()
  }
}
