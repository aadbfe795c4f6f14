//! What becomes of a secret that was made in place of the published one, where nothing is kept for it: because that one could
//! not be used, or because there is room for one alone. It is done once the new one is published.

use super::rotate::{Case, Rotation};
use super::{Step, credentials_of, is_kept};
use crate::domain::capabilities::Secrets;
use crate::domain::registration::SecretId;
use crate::domain::rotation::Due;
use crate::domain::rotation::report::Progress;

/// How it stands before any step. `current`: the secret that is published, or that only has to be written. `unusable`: why the
/// one that the status names cannot be used.
pub(super) fn standing(
    case: Case<'_>,
    current: Option<&SecretId>,
    rotation: &Rotation,
    unusable: impl Fn() -> Option<Due>,
) -> Progress {
    if rotation.progress != Progress::Rest || !rotation.is_at_rest() {
        return rotation.progress.clone();
    }
    if let Some((id, Due { trigger, request, .. })) = unwritten(case, current) {
        return Progress::Publishing { id: id.clone(), trigger, request };
    }
    match current.filter(|current| is_news(case, current)).and_then(|_| unusable()) {
        Some(Due { trigger, request, .. }) => Progress::Completed { trigger, request },
        None => Progress::Rest,
    }
}

/// The step that says that it is done, after all others.
pub(super) fn completion(rotation: &Rotation, progress: &Progress, replaces: Option<&Due>) -> Option<Step> {
    let of = |due: &Due| Step::Complete { trigger: due.trigger, request: due.request.clone() };
    match progress {
        Progress::Publishing { trigger, request, .. } if rotation.steps.is_empty() => {
            Some(Step::Complete { trigger: *trigger, request: request.clone() })
        }
        _ => replaces.map(of),
    }
}

/// The secret that was made for a rotation and only has to be written.
pub(super) fn unwritten<'a>(case: Case<'a>, current: Option<&SecretId>) -> Option<(&'a SecretId, Due)> {
    let held = case.seen.held.as_ref().filter(|held| Some(&held.id) == current)?;
    Some((&held.id, held.rotation.clone()?))
}

/// Whether the report of a pass that made a secret was lost: nothing was kept for it, and no status names it. Where there is
/// room for one secret, an update may have brought it as well.
fn is_news(case: Case<'_>, current: &SecretId) -> bool {
    let Case { app, valid, id, seen, .. } = case;
    let several = valid.server.capabilities.secrets == Secrets::Several;
    let named = credentials_of(app, id).iter().any(|credential| credential.id == current.as_str());
    several && !named && !is_kept(seen, current)
}
