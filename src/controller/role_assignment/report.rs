//! Telling: the status where it differs, and an Event where something is new.

use crate::api::RoleAssignment;
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::changes::digest;
use crate::controller::events::Tone;
use crate::controller::kubernetes::is_not_found;
use crate::domain::observed::Finding;
use crate::domain::permissions::{Outcome, finding, next_status};
use crate::domain::reason::Reason;
use crate::domain::status;
use crate::metrics::Ended;

pub async fn report(object: &RoleAssignment, outcome: &Outcome, ctx: &Context) -> Result<(), Error> {
    let found = finding(outcome);
    if let Some(found) = &found {
        ctx.metrics.findings.get_or_create(&Ended { reason: found.reason.as_str() }).inc();
    }
    // What nothing was done for must not replace what another process has done and said meanwhile.
    let version = matches!(outcome, Outcome::Refused(_)).then(|| object.metadata.resource_version.clone()).flatten();
    if !write(object, outcome, version.as_deref(), ctx).await? {
        return Ok(());
    }
    if let Some(found) = found.filter(|found| is_news(object, found)) {
        let quiet = matches!(found.reason, Reason::Suspended | Reason::ApplicationNotReady);
        let tone = if quiet { Tone::Normal } else { Tone::Warning };
        ctx.events.publish(object, tone, found.reason, &found.message);
    }
    Ok(())
}

/// Writes the status where it says something else; gives back whether it did. The cache may be older than what this
/// process wrote last: then equal is not enough.
pub async fn write(
    object: &RoleAssignment,
    outcome: &Outcome,
    version: Option<&str>,
    ctx: &Context,
) -> Result<bool, Error> {
    let status = next_status(object, outcome, ctx.now());
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let said = digest(&serde_json::to_string(&status).unwrap_or_default());
    if object.status.as_ref() == Some(&status) && !ctx.told_otherwise(uid, said) {
        return Ok(false);
    }
    match ctx.kubernetes().status(object, &status, version).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => {
            ctx.tell(uid, said);
            Ok(true)
        }
    }
}

/// Whether the status does not say it yet.
pub fn is_news(object: &RoleAssignment, finding: &Finding) -> bool {
    status::is_news(object.status.as_ref().map_or(&[], |status| &status.conditions), finding)
}
