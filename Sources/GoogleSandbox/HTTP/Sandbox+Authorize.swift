import HTTPTypes

/// The authorization endpoint: a page to choose an account and what it may do, and where its form goes.
extension Sandbox {
  func authorizePage(_ request: SandboxRequest) -> SandboxAnswer {
    underFaults(.authorize, account: request.query["login_hint"], refusal: authorizeFault) {
      let authorization: AuthorizationRequest
      do throws(AuthorizationRequest.Refusal) {
        authorization = try AuthorizationRequest(request.query, client: configuration.client)
      } catch {
        return refusalPage(error)
      }
      if authorization.prompts.contains("none") {
        return .redirect(to: authorization.redirect(with: [("error", "interaction_required")]))
      }
      return consentPage(200, authorization, request, problem: nil)
    }
  }

  /// The form's answer. The request itself is in the form's action, and is checked again: nothing is remembered in between.
  func authorizeDecision(_ request: SandboxRequest) -> SandboxAnswer {
    underFaults(.authorize, account: request.form?["email"], refusal: authorizeFault) {
      let authorization: AuthorizationRequest
      do throws(AuthorizationRequest.Refusal) {
        authorization = try AuthorizationRequest(request.query, client: configuration.client)
      } catch {
        return refusalPage(error)
      }
      guard let form = request.form else { return .text(400, "a form is expected") }
      guard form["decision"] == "allow" else {
        return .redirect(to: authorization.redirect(with: [("error", "access_denied")]))
      }
      let typed = form["email"].flatMap { $0.trimmingSpaces.isEmpty ? nil : $0 }
      guard let address = typed ?? form["account"], let account = Account(address: address) else {
        return consentPage(400, authorization, request, problem: "Choose an account, or type an address.")
      }
      // The page's form always says that it has boxes to tick; a command that does not grants all that was asked for.
      let ticked = form["boxes"] == nil ? nil : Set(form.all("grant"))
      let scopes = authorization.scopes.filter { $0.isIdentity || ticked?.contains($0.name) ?? true }
      let code = grants.issueCode(for: account, scopes: scopes, request: authorization, now: now)
      return .redirect(
        to: authorization.redirect(
          with: [("code", code), ("scope", scopes.spaceSeparated), ("authuser", "0"), ("prompt", "consent")]))
    }
  }

  private func consentPage(
    _ status: Int, _ authorization: AuthorizationRequest, _ request: SandboxRequest, problem: String?
  ) -> SandboxAnswer {
    let action = "\(request.path)?\(request.query.encoded)"
    return .html(status, Pages.consent(authorization, accounts: grants.accounts, action: action, problem: problem))
  }

  private func refusalPage(_ refusal: AuthorizationRequest.Refusal) -> SandboxAnswer {
    .html(refusal.status, Pages.refusal(refusal))
  }

  private func authorizeFault(_ fault: Fault) -> SandboxAnswer {
    refusalPage(.init(status: fault.status ?? 500, code: fault.reason ?? "server_error", detail: fault.message ?? ""))
  }

  /// A stand-in for the platform's own page, where the browser ends after the consent.
  func platformCallback(_ request: SandboxRequest) -> SandboxAnswer {
    .html(200, Pages.platformCallback(request.query))
  }
}
