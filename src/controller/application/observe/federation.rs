//! What is asked about federated credentials, of the cluster and of the server.

use jiff::Timestamp;

use crate::api::ExternalApplication;
use crate::controller::Context;
use crate::controller::servers::{Server, finding};
use crate::domain::federation::{FederatedSeen, IssuerSeen, federates, needs_issuer};
use crate::domain::observed::RegistrationSeen;
use crate::server::{AuthorizationServer as _, Federating as _, Lane};

/// Only what the application needs: one read more at the server where a registration is read anyway.
pub(super) async fn look(
    app: &ExternalApplication,
    registration: &RegistrationSeen,
    suspect: bool,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> (IssuerSeen, FederatedSeen) {
    let issuer = if needs_issuer(app) { ctx.issuer.seen(&ctx.client, now).await } else { IssuerSeen::NotAsked };
    let (RegistrationSeen::Present(actual), true) = (registration, federates(app)) else {
        return (issuer, FederatedSeen::Unread);
    };
    let Some(connection) = server.connection().filter(|own| own.client.capabilities().federation.is_some()) else {
        return (issuer, FederatedSeen::Unread);
    };
    // What a sweep has found comes out of its own share of the server's budget.
    let lane = if suspect { Lane::Resync } else { Lane::User };
    let federated = match connection.client.federated(&actual.client_id, lane).await {
        Ok(known) => FederatedSeen::Known(known),
        Err(error) => {
            if server.report(&error) {
                ctx.wake_server(&server.key);
            }
            FederatedSeen::Unreadable(finding(&error))
        }
    };
    (issuer, federated)
}
