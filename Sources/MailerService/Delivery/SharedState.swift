/// What the loops of the process share.
final class SharedState: Sendable {
  let tokens = TokenCache()
  let board = OutcomeBoard()
  let queued = QueuedMailboxes()
  let turns = MailboxTurns()
  let awaited = AwaitedMail()
  let pause: ProjectPause

  init(projectUnitsPerMinute: Int) { pause = ProjectPause(unitsPerMinute: projectUnitsPerMinute) }
}
