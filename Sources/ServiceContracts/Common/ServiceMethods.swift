package import RPCRuntime

/// Every method that this system's processes serve each other.
package enum ServiceMethods {
  package static let all: [MethodDescriptor] = [
    OAuth.startAuthorization.descriptor, OAuth.sealCallback.descriptor, OAuth.completeAuthorization.descriptor,
    OAuth.getProfile.descriptor, OAuth.getAccessToken.descriptor, OAuth.disconnect.descriptor,
    OAuth.watchConnections.descriptor,
    Mailer.sendMessage.descriptor, Mailer.sendMessages.descriptor, Mailer.getMessage.descriptor,
    Mailer.listMessages.descriptor, Mailer.cancelMessage.descriptor, Mailer.watchMessages.descriptor,
    Mailer.getCapacity.descriptor, Mailer.addSuppression.descriptor, Mailer.listSuppressions.descriptor,
    Mailer.removeSuppression.descriptor, Mailer.unsubscribe.descriptor, Mailer.createWebhook.descriptor,
    Mailer.listWebhooks.descriptor, Mailer.getWebhook.descriptor, Mailer.updateWebhook.descriptor,
    Mailer.rotateWebhookSecret.descriptor, Mailer.deleteWebhook.descriptor, Mailer.testWebhook.descriptor,
    Mailer.listWebhookDeliveries.descriptor, Mailer.replayWebhookDeliveries.descriptor,
    Reports.getUserReport.descriptor, Reports.getSummary.descriptor, Reports.exportMessages.descriptor,
  ]
}
