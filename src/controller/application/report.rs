//! Telling: the status where it differs, and an Event where something is new.

use super::Error;
use crate::api::{ExternalApplication, ExternalApplicationStatus};
use crate::controller::Context;
use crate::controller::changes;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found};
use crate::domain::observed::{Finding, Observed, status_client_id};
use crate::domain::reason::Reason;
use crate::domain::registration::ClientId;
use crate::domain::status::{self, Outcome, application};
use crate::metrics::Ended;

pub async fn report(app: &ExternalApplication, seen: &Observed, outcome: &Outcome, ctx: &Context) -> Result<(), Error> {
    if let Some(finding) = finding(outcome) {
        ctx.metrics.findings.get_or_create(&Ended { reason: finding.reason.as_str() }).inc();
    }
    let Some(status) = application(app, seen, outcome, ctx.now()) else { return Ok(()) };
    let (uid, digest) = (app.metadata.uid.as_deref().unwrap_or_default(), digest(&status));
    // The cache may be older than what this process wrote last: then equal is not enough.
    if app.status.as_ref() == Some(&status) && !ctx.told_otherwise(uid, digest) {
        return Ok(());
    }
    // What nothing was done for, or what ended because something had changed, must not replace what another process has
    // done and said meanwhile.
    let stale = matches!(outcome, Outcome::Failed { finding, .. } if finding.reason == Reason::Progressing);
    // A registration that no status names yet is named, whatever has changed.
    let cautious = (stale && made(app, outcome).is_none()) || matches!(outcome, Outcome::Refused { .. });
    let version = cautious.then(|| app.metadata.resource_version.clone()).flatten();
    match ctx.kubernetes().status(app, &status, version.as_deref()).await {
        Err(error) if is_not_found(&error) || (is_conflict(&error) && is_another(app, ctx).await?) => {
            return match made(app, outcome) {
                Some(id) => super::farewell::orphaned(app, Some(id), ctx).await,
                None => Ok(()),
            };
        }
        Err(error) => return Err(error.into()),
        Ok(()) => remember(app, &status, ctx),
    }
    if let Some(finding) = finding(outcome).filter(|finding| is_news(app, finding)) {
        let tone = if finding.reason == Reason::Suspended { Tone::Normal } else { Tone::Warning };
        ctx.events.publish(app, tone, finding.reason, &finding.message);
    }
    Ok(())
}

/// Whether the object of this name is not the one that the pass was about.
async fn is_another(app: &ExternalApplication, ctx: &Context) -> Result<bool, Error> {
    match super::observe::live(app, ctx).await {
        Ok(now) => Ok(now.metadata.uid != app.metadata.uid),
        Err(Error::Kubernetes(error)) if is_not_found(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The registration that the pass made or found and that no status names.
fn made<'a>(app: &ExternalApplication, outcome: &'a Outcome) -> Option<&'a ClientId> {
    let (Outcome::Done { achieved, .. } | Outcome::Held { achieved, .. } | Outcome::Failed { achieved, .. }) = outcome
    else {
        return None;
    };
    achieved.client_id.as_ref().filter(|id| app.spec.adopt.is_none() && status_client_id(app).as_ref() != Some(id))
}

/// Remembers what was said of an application.
pub fn remember(app: &ExternalApplication, status: &ExternalApplicationStatus, ctx: &Context) {
    ctx.tell(app.metadata.uid.as_deref().unwrap_or_default(), digest(status));
}

/// Whether a status that the cache shows is not what this process said last: another one spoke since. What this process
/// is about to look at again anyway has time.
pub fn contradicted(app: &ExternalApplication, ctx: &Context) -> bool {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    app.metadata.deletion_timestamp.is_none()
        && !ctx.retries.is_retrying(uid)
        && app.status.as_ref().is_some_and(|status| ctx.told_otherwise(uid, digest(status)))
}

fn digest(status: &ExternalApplicationStatus) -> u64 {
    changes::digest(&serde_json::to_string(status).unwrap_or_default())
}

fn finding(outcome: &Outcome) -> Option<&Finding> {
    match outcome {
        Outcome::Failed { finding, .. } | Outcome::Held { finding, .. } | Outcome::Refused { finding, .. } => {
            Some(finding)
        }
        Outcome::Done { .. } | Outcome::Silent => None,
    }
}

/// Whether the status does not say it yet.
pub fn is_news(app: &ExternalApplication, finding: &Finding) -> bool {
    status::is_news(app.status.as_ref().map_or(&[], |status| &status.conditions), finding)
}
