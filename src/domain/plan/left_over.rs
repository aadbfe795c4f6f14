//! Objects of ours that go: what is not asked for any more, and versions that nobody needs.

use super::Step;
use crate::api::external_application::{CredentialStatus, OutputKind};
use crate::domain::observed::{LeftOver, Observed};
use crate::domain::outputs::{self, Key, ResolvedOutput, render};
use crate::domain::registration::{ClientId, ClientSecret, SecretId};
use crate::domain::validate::Valid;

/// Objects that the spec does not ask for. An immutable one stays as long as the credential in it lives.
pub(super) fn left_over(
    recorded: &[CredentialStatus],
    seen: &Observed,
    current: Option<&SecretId>,
    removable: &[SecretId],
    keep_versions: bool,
) -> Vec<Step> {
    let lives = |id: &str| {
        current.is_some_and(|current| current.as_str() == id)
            || (recorded.iter().any(|credential| credential.id == id)
                && !removable.iter().any(|secret| secret.as_str() == id))
    };
    let goes = |item: &&LeftOver| {
        !item.immutable || (!keep_versions && item.credential.as_deref().is_some_and(|id| !lives(id)))
    };
    seen.left_over.iter().filter(goes).map(|item| Step::RemoveOutput(item.output.clone())).collect()
}

/// Versions of an immutable object that carry no credential: nothing tells when the last one who uses them is gone. The
/// one before the current stays, for what is being replaced while the current one comes into use.
pub(super) fn superseded(
    valid: &Valid,
    id: &ClientId,
    secret: Option<&(SecretId, ClientSecret)>,
    seen: &Observed,
) -> Vec<Step> {
    let (facts, key) = (valid.facts(id), secret.map(|(id, secret)| Key { id, secret }));
    let current = |output: &ResolvedOutput| render(output, &facts, key).ok().map(|current| current.name);
    all_but_the_latest(valid, seen, current)
}

/// The versions of immutable ConfigMaps that are neither current nor the latest of the others.
pub(super) fn all_but_the_latest(
    valid: &Valid,
    seen: &Observed,
    current: impl Fn(&ResolvedOutput) -> Option<String>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for output in valid.outputs.iter().filter(|output| output.immutable && output.kind == OutputKind::ConfigMap) {
        let current = current(output);
        let mut old: Vec<&LeftOver> = seen
            .left_over
            .iter()
            .filter(|item| item.immutable && item.credential.is_none() && item.output.kind == output.kind)
            .filter(|item| outputs::is_version_of(&output.name, &item.output.name))
            .filter(|item| current.as_ref() != Some(&item.output.name))
            .collect();
        old.sort_by_key(|item| std::cmp::Reverse((item.created_at, &item.output.name)));
        steps.extend(old.into_iter().skip(1).map(|item| Step::RemoveOutput(item.output.clone())));
    }
    steps
}
