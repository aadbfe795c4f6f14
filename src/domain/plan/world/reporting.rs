//! What a pass in the world has achieved.

use super::*;

impl World {
    pub(super) fn achieved(&self, pass: Pass<'_>, strays: &[SecretId], drift: Vec<FieldDifference>) -> Achieved {
        let same = status_client_id(&self.app) == pass.client_id;
        let old = self.app.status.as_ref().map_or(&[][..], |status| &status.credentials);
        let old = if same || pass.client_id.is_none() { old } else { &[] };
        let pending = pass.kept.as_ref().and_then(|kept| {
            let next = kept.kept.under_way(
                pass.current.as_ref().map(|current| &current.id),
                crate::domain::rotation::recorded(&self.app),
            )?;
            Some(Current { created_at: Some(kept.kept.since), ..Current::known_as(next.id.clone()) })
        });
        let left = Left {
            current: pass.current.as_ref(),
            pending: pending.as_ref(),
            removed: &pass.removed,
            strays,
            overlap: pass.progress.overlap(&pass.valid.rotation),
            keeps_secret: pass.valid.keeps_secret(),
            holders: None,
            now: self.now,
        };
        Achieved {
            credentials: credentials::after(old, &left),
            client_id: pass.client_id,
            granted: None,
            binding: None,
            published: pass.unwritten == 0,
            drift,
            rotation: pass.progress,
            kept: pass.kept,
            restarts: None,
        }
    }

    /// What was kept goes once nothing needs it.
    pub(super) fn tidy(&mut self, outcome: &Outcome) {
        let Some((valid, achieved)) = outcome.carried() else { return };
        if achieved.published && matches!(outcome, Outcome::Done { .. } | Outcome::Held { .. }) {
            self.held = None;
        }
        let Some(kept) = &achieved.kept else { return };
        let unfinished = matches!(achieved.rotation, Progress::Publishing { .. });
        let needed = valid.keeps_secret()
            && kept.kept.is_needed(&achieved.credentials, crate::domain::rotation::recorded(&self.app));
        if !unfinished && !needed {
            self.kept = None;
        }
    }

    /// Whether a rotation waits for its secret to be accepted: then the plan is not carried out.
    pub fn is_proving(&self) -> bool {
        let conditions = self.app.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.reason == Reason::Proving.as_str())
    }

    /// Whether the status names a secret, or its description says that it is ours.
    pub fn is_known(&self, secret: &SecretId) -> bool {
        let ours = marker(self.app.metadata.uid.as_deref().unwrap_or_default());
        let marked = |info: &SecretInfo| info.id == *secret && info.description.as_deref() == Some(ours.as_str());
        self.app.status.iter().flat_map(|status| &status.credentials).any(|named| named.id == secret.as_str())
            || self.registrations.values().flat_map(|known| &known.actual.secrets).any(marked)
    }
}
