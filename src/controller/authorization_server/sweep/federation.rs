//! Whether somebody has changed at the server whose tokens an application authenticates with.

use crate::api::ExternalApplication;
use crate::controller::Context;
use crate::controller::servers::Connection;
use crate::domain::federation::{self, IssuerSeen};
use crate::domain::observed::observes;
use crate::domain::registration::ClientId;
use crate::server::{AuthorizationServer as _, Federating as _, Lane, ServerError};

/// The field of a difference that is told of.
pub(super) const FIELD: &str = "federatedCredentials";

/// Whether an application has federated credentials here, so that they are read.
pub(super) fn are_read(app: &ExternalApplication, connection: &Connection) -> bool {
    connection.client.capabilities().federation.is_some() && federation::federates(app)
}

/// One read. What cannot be judged differs in nothing: the application says so itself.
pub(super) async fn differ(
    app: &ExternalApplication,
    id: &ClientId,
    connection: &Connection,
    ctx: &Context,
) -> Result<bool, ServerError> {
    let capabilities = connection.client.capabilities();
    let Some(limits) = capabilities.federation else { return Ok(false) };
    let known = match connection.client.federated(id, Lane::Resync).await {
        Ok(known) => known,
        Err(ServerError::Unsupported { .. } | ServerError::NotYet { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let now = ctx.now();
    let needed = federation::needs_issuer(app);
    let issuer = if needed { ctx.issuer.seen(&ctx.client, now).await } else { IssuerSeen::NotAsked };
    let Ok(wanted) = federation::resolve(app, capabilities.provider, Some(limits), &issuer) else { return Ok(false) };
    if observes(app) {
        let told = app.status.iter().flat_map(|status| &status.drift).find(|difference| difference.field == FIELD);
        return Ok(told != federation::difference(&wanted, &known).as_ref());
    }
    Ok(!federation::changes(app, &wanted, id.as_str(), &known, limits.most, now).is_empty())
}
