//! Writing and removing the objects that workloads mount.

use super::{Halt, Pass};
use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_refused, is_terminating, say};
use crate::domain::observed::{Finding, Observed, OutputRef, Retry};
use crate::domain::outputs::{Key, ResolvedOutput, render};
use crate::domain::plan::Standing;
use crate::domain::reason::Reason;
use crate::domain::validate::Valid;

impl Pass<'_> {
    pub(super) async fn publish(&mut self, output: &ResolvedOutput, over: Option<&Standing>) -> Result<(), Halt> {
        let Some(id) = self.client_id.clone() else { return Err(Halt::Stale) };
        let key = self.secret.as_ref().map(|(id, secret)| Key { id, secret });
        let wanted = render(output, &self.valid.facts(&id), key).map_err(|error| {
            Halt::Because(Finding::stalled(Reason::TemplateInvalid, format!("spec.outputs: {error}")))
        })?;
        // A new version of an immutable object has a name of its own: what stood under another is not in the way.
        let over = over.filter(|standing| standing.name == wanted.name);
        // What this pass has written itself is newer than what it saw.
        let place = (wanted.kind, wanted.name.clone());
        let over = self.wrote.get(&place).or(over);
        let written = self.ctx.kubernetes().output(self.app, &wanted, over).await;
        let meta = written.map_err(|error| match error {
            error if is_terminating(&error) => Halt::Stale,
            error if is_conflict(&error) && over.is_some() => Halt::Stale,
            error => {
                let message = format!("{} could not be written: {}", wanted.name, say(&error));
                let finding = Finding::passing(Reason::OutputNotWritten, message, Retry::Backoff);
                if is_refused(&error) { Halt::Unwritable(finding) } else { Halt::Because(finding) }
            }
        })?;
        self.ctx.owned.wrote(wanted.kind, &meta);
        let secret_type = over.and_then(|standing| standing.secret_type.clone());
        let replaced = over.is_some();
        self.wrote.insert(place, Standing::written(&wanted.name, meta.uid, meta.resource_version, secret_type));
        self.unwritten -= 1;
        if self.binding.is_none() && Some(output) == primary(self.valid) {
            self.binding = Some(wanted.name.clone());
        }
        if self.unwritten == 0 {
            self.ctx.let_go(self.uid());
        }
        let note = format!("wrote {} {}", kind_name(wanted.kind), wanted.name);
        match &mut self.made {
            Some((.., registered)) => {
                registered.push_str("; ");
                registered.push_str(&note);
            }
            None if replaced => self.say(Tone::Normal, Reason::Republished, &note),
            None => self.say(Tone::Normal, Reason::Published, &note),
        }
        Ok(())
    }

    pub(super) async fn remove(&self, output: &OutputRef) -> Result<(), Halt> {
        let kubernetes = self.ctx.kubernetes();
        self.kubernetes(kubernetes.remove_output(&self.valid.namespace, output.kind, &output.name, &output.uid).await)?;
        self.ctx.owned.removed(self.app, output.kind, &output.name, &output.uid);
        self.say(Tone::Normal, Reason::OutputRemoved, &format!("removed {} {}", kind_name(output.kind), output.name));
        Ok(())
    }
}

/// The output that `status.binding` names: the first Secret of a confidential application, else the first.
pub(super) fn primary(valid: &Valid) -> Option<&ResolvedOutput> {
    let secret = valid.outputs.iter().find(|output| output.kind == OutputKind::Secret);
    secret.or(valid.outputs.first())
}

/// The object that is already there for the primary output.
pub(super) fn standing_binding(app: &ExternalApplication, valid: &Valid, seen: &Observed) -> Option<String> {
    let primary = primary(valid)?;
    let named = app.status.as_ref().and_then(|status| status.binding.as_ref()).map(|binding| binding.name.as_str());
    let name = if primary.immutable { named? } else { &primary.name };
    seen.outputs
        .iter()
        .find(|output| output.ours && output.kind == primary.kind && output.name == name)
        .map(|output| output.name.clone())
}

fn kind_name(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Secret => "Secret",
        OutputKind::ConfigMap => "ConfigMap",
    }
}
