//! The steps of a rotation in the world.

use super::*;
use crate::domain::plan::Keeping as Keep;
use crate::domain::rotation::kept::{Seal, Secret};
use crate::domain::rotation::proof::{Answer, Verdict, judge};

impl World {
    /// Sets an annotation to a new value.
    pub fn ask(&mut self, annotation: &str) {
        let value = self.next().to_string();
        self.app.metadata.annotations.get_or_insert_default().insert(annotation.to_owned(), value);
    }

    pub(super) fn rotate(&mut self, pass: &mut Pass<'_>, step: Step) {
        match step {
            Step::AddNext { id, .. } => pass.next = Some(self.add_secret(&id, Some(&marker(&pass.valid.uid)))),
            Step::Keep(Keep { mut kept, over }) => {
                let there = self.kept.as_ref().map(|seen| (seen.uid.clone(), seen.resource_version.clone()));
                assert_eq!(over, there, "kept over what was not read");
                let fresh = pass.next.as_ref().map(|(id, value)| Secret::new(id.clone(), &ClientSecret::new(value)));
                kept.next = kept.next.or(fresh);
                assert!(kept.next.is_some(), "a rotation without a secret");
                let version = self.next().to_string();
                self.kept = Some(SeenKept { uid: "kept".into(), resource_version: version, kept, seal: Seal::Current });
                pass.kept.clone_from(&self.kept);
            }
            Step::Prove { trigger, request, since } => self.prove(pass, trigger, request, since),
            Step::Replace { output, over } => {
                self.publish(pass, &output, over.as_ref());
                pass.current = pass.accepted.take().or(pass.current.take());
            }
            Step::Complete { trigger, request } => {
                pass.current = pass.accepted.take().or(pass.current.take());
                pass.progress = Progress::Completed { trigger, request };
            }
            _ => unreachable!("not a step of a rotation"),
        }
    }

    fn prove(&mut self, pass: &mut Pass<'_>, trigger: Trigger, request: Option<String>, since: Timestamp) {
        let id = pass.client_id.clone().expect("a registration");
        let next = pass.kept.as_ref().and_then(|seen| seen.kept.next.clone()).expect("kept before it is proven");
        let answer = if self.accepts(&id, &next.id, next.value.expose()) { Answer::Accepted } else { Answer::Refused };
        match judge(trigger, since, answer, self.now) {
            verdict @ (Verdict::Publish | Verdict::PublishUnproven) => {
                self.unproven |= verdict == Verdict::PublishUnproven;
                pass.accepted = Some(Current { created_at: Some(since), ..Current::known_as(next.id.clone()) });
                pass.secret = Some((next.id.clone(), ClientSecret::new(next.value.expose())));
                pass.unwritten += pass.replacing;
                pass.progress = Progress::Publishing { id: next.id.clone(), trigger, request };
            }
            Verdict::Later(until) => {
                pass.progress = Progress::Proving { id: next.id.clone(), since, until, answer, trigger, request };
                pass.not_yet = true;
            }
            Verdict::Withdraw => {
                let retiring = |credential: &crate::api::external_application::CredentialStatus| {
                    credential.id == next.id.as_str()
                        && credential.state == crate::api::external_application::CredentialState::Retiring
                };
                let listed = self.app.status.iter().flat_map(|status| &status.credentials);
                if !listed.into_iter().any(retiring) {
                    self.remove_secret(&id, &next.id);
                    pass.removed.push(next.id.clone());
                }
                (self.kept, pass.kept) = (None, None);
                pass.progress = Progress::Withdrawn { trigger, request };
                pass.not_yet = true;
            }
        }
    }

    /// Whether the token endpoint takes a secret now.
    pub(super) fn accepts(&self, id: &ClientId, secret: &SecretId, value: &str) -> bool {
        let known = self.registrations.get(id);
        let held = known.and_then(|known| known.values.get(secret)).is_some_and(|held| held == value);
        let made = known.and_then(|known| known.actual.secrets.iter().find(|info| info.id == *secret)?.created_at);
        let lags = self.lags.is_some_and(|(since, until)| self.now < until && made.is_some_and(|made| made >= since));
        held && !lags
    }
}
