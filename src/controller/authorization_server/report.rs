//! Telling about a server.

use super::connect::Observed;
use crate::api::AuthorizationServer;
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::events::Tone;
use crate::controller::kubernetes::is_not_found;
use crate::controller::servers::Server;
use crate::domain::observed::Finding;
use crate::domain::own_credential::report::Told;
use crate::domain::reason::Reason;
use crate::domain::server_status::{ServerPass, server as status_of};
use crate::metrics::Ended;

pub async fn report(
    object: &AuthorizationServer,
    server: &Server,
    observed: &Observed,
    credential: Option<&Told>,
    ctx: &Context,
) -> Result<(), Error> {
    super::catalogue::tell_all(object, ctx).await?;
    let applications = ctx.applications_of(&server.key);
    let drifted =
        applications.iter().filter(|app| app.status.as_ref().is_some_and(|status| !status.drift.is_empty())).count();
    let finding = match observed {
        Observed::Asked(_) | Observed::NotDue => None,
        Observed::Trouble(finding) => Some(finding),
    };
    if let Some(finding) = finding {
        ctx.metrics.findings.get_or_create(&Ended { reason: finding.reason.as_str() }).inc();
    }
    // What is known is said again: the cache may be older than the status in which it was said first.
    let facts = server.facts();
    let pass = ServerPass {
        endpoints: facts.as_ref().map(|facts| &*facts.endpoints),
        organization_id: facts.as_ref().and_then(|facts| facts.organization_id.as_deref()),
        applications: applications.len(),
        drifted,
        finding,
        swept_at: server.swept_at(),
        credential,
    };
    tell(object, &pass, ctx).await
}

/// Writes the status where it differs, and an Event where it is news.
pub async fn tell(object: &AuthorizationServer, pass: &ServerPass<'_>, ctx: &Context) -> Result<(), Error> {
    let Some(status) = status_of(object, pass, ctx.now()) else { return Ok(()) };
    announce(object, pass.finding, ctx);
    match ctx.kubernetes().status(object, &status, None).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn announce(object: &AuthorizationServer, finding: Option<&Finding>, ctx: &Context) {
    let ready = object.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == "Ready");
    let shown = ready.map(|condition| (condition.reason.clone(), condition.message.clone()));
    let connected = "the server answers, and its catalogue is published";
    let (reason, message) =
        finding.map_or((Reason::Connected, connected), |finding| (finding.reason, &finding.message));
    let now = (reason.as_str().to_owned(), message.to_owned());
    // The cache may be older than what this process said last.
    let before = ctx.servers.get(&super::key_of(object)).said(now.clone()).or(shown);
    if before.as_ref() != Some(&now) {
        let good = matches!(reason, Reason::Suspended | Reason::Connected);
        ctx.events.publish(object, if good { Tone::Normal } else { Tone::Warning }, reason, message);
    }
}
