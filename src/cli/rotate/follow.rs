//! What is to be seen of a rotation as it goes: its steps, and how it ended. Pure.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::api::external_application::{
    ApplicationType, CredentialKind, CredentialState, CredentialStatus, ExternalApplication, Management,
};
use crate::api::rotation::ClientSecretPolicy;
use crate::api::{REVOKE_NOW, ROLLBACK};
use crate::cli::exit::Exit;
use crate::cli::output::moment;
use crate::cli::status::report::Said;
use crate::domain::reason::Reason;
use crate::domain::rotation;
use crate::domain::rotation::report::ROTATED;

/// The reasons under which a request is settled although the published secret is the one before.
const FAILED: [Reason; 3] = [Reason::ProofFailed, Reason::NotSupported, Reason::RollbackImpossible];

/// What was asked for: an annotation and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub annotation: &'static str,
    pub value: String,
}

/// How it stands, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Refused { reason: Option<String>, message: String },
    TimedOut,
}

/// The shape of `extapp rotate -o json`. Fields are added, never renamed or taken away; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub namespace: String,
    pub name: String,
    #[serde(flatten)]
    pub asked: Asked,
    /// Requested, Done, Refused or TimedOut.
    #[serde(rename = "outcome")]
    pub ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The published secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl Outcome {
    pub fn new(app: &ExternalApplication, asked: Asked) -> Self {
        Self {
            namespace: app.namespace().unwrap_or_default(),
            name: app.name_any(),
            asked,
            ended: "Requested",
            reason: None,
            message: None,
            credential: published(app),
            exit: Exit::Done,
        }
    }

    /// Remembers what the object says now, for whoever asks why it is not done yet.
    pub fn see(&mut self, app: &ExternalApplication) {
        self.credential = published(app);
        let said = condition(app, ROTATED).filter(|said| said.status == "False");
        let said = said.or_else(|| condition(app, "Ready").filter(|said| said.status != "True"));
        (self.reason, self.message) = said.map(|said| (said.reason, said.message)).unzip();
    }

    pub fn settle(&mut self, verdict: Verdict) {
        (self.ended, self.exit) = match verdict {
            Verdict::Done => {
                (self.reason, self.message) = (None, None);
                ("Done", Exit::Done)
            }
            Verdict::Refused { reason, message } => {
                (self.reason, self.message) = (reason, Some(message));
                ("Refused", Exit::Refused)
            }
            Verdict::TimedOut => ("TimedOut", Exit::TimedOut),
        };
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The last line for people; nothing where there is nothing to add to the steps.
    pub fn text(&self) -> String {
        let said = || match (&self.reason, &self.message) {
            (Some(reason), Some(message)) => format!("{reason}: {message}"),
            (None, Some(message)) => message.clone(),
            _ => "the operator has said nothing of it; is it running, and does it watch this namespace?".into(),
        };
        let (namespace, name) = (&self.namespace, &self.name);
        let text = match self.ended {
            "Done" => "done".into(),
            "Refused" => format!("not done: {}", said()),
            "TimedOut" => format!(
                "not done in time, and still asked for: {}. Go on with: extapp status {name} -n {namespace}",
                said().trim_end_matches('.')
            ),
            _ => format!("extapp status {name} -n {namespace} tells how it goes"),
        };
        crate::cli::output::plain(&text) + "\n"
    }
}

/// Why the operator would not do it, as far as the object itself tells. It would be asked in vain, or, worse, do it at some
/// later time when nobody expects it.
pub fn refusal(app: &ExternalApplication, annotation: &str) -> Option<String> {
    let spec = &app.spec;
    let retiring = |credential: &&CredentialStatus| {
        credential.kind == CredentialKind::Secret && credential.state == CredentialState::Retiring
    };
    let why = if app.metadata.deletion_timestamp.is_some() {
        "the application is being deleted, and its secret with it"
    } else if spec.r#type == ApplicationType::NonConfidential {
        "a NonConfidential application has no secret"
    } else if spec.client_secret == Some(ClientSecretPolicy::None) && !(annotation == REVOKE_NOW && has_any(app)) {
        "with `clientSecret: None` there is no secret. If a token of another issuer has leaked, change federatedCredentials"
    } else if spec.management == Some(Management::Observe) {
        "management is Observe: nothing is written at the server. Set it to Enforce first"
    } else if spec.suspend {
        "the application is suspended, and would be rotated only once it no longer is. Set spec.suspend to false first"
    } else if annotation == ROLLBACK && !credentials(app).iter().any(|credential| retiring(&credential)) {
        "there is no secret to go back to: either none was replaced, or the one before has been removed. Without --rollback a new one is made"
    } else {
        return None;
    };
    Some(why.into())
}

/// Whether there is a secret that could be removed: an application that does without one may still have what it had.
fn has_any(app: &ExternalApplication) -> bool {
    credentials(app).iter().any(|credential| credential.kind == CredentialKind::Secret)
}

/// Whether what was asked for is settled. `before`: the object with the request on it.
pub fn verdict(asked: &Asked, before: &ExternalApplication, now: &ExternalApplication) -> Option<Verdict> {
    let carried_out = rotation::recorded(now).and_then(|rotation| match asked.annotation {
        ROLLBACK => rotation.rollback.as_deref(),
        REVOKE_NOW => rotation.revoke_now.as_deref(),
        _ => rotation.rotate.as_deref(),
    });
    if carried_out == Some(asked.value.as_str()) {
        let failed = |said: &Said| said.status == "False" && FAILED.iter().any(|reason| reason.as_str() == said.reason);
        return Some(match condition(now, ROTATED).filter(failed) {
            Some(said) => Verdict::Refused { reason: Some(said.reason), message: said.message },
            None => Verdict::Done,
        });
    }
    let replaced = now.annotations().get(asked.annotation) != Some(&asked.value);
    if replaced && before.annotations().get(asked.annotation) == Some(&asked.value) {
        let message = format!("the annotation {} was changed by somebody else meanwhile", asked.annotation);
        return Some(Verdict::Refused { reason: None, message });
    }
    None
}

/// What happened between two looks at the object, in the order in which it happens.
pub fn steps(before: &ExternalApplication, after: &ExternalApplication, now: Timestamp) -> Vec<String> {
    let old = |id: &str| credentials(before).iter().find(|credential| credential.id == id);
    let secrets = || credentials(after).iter().filter(|credential| credential.kind == CredentialKind::Secret);
    let mut steps = Vec::new();
    for one in secrets() {
        let (id, was) = (&one.id, old(&one.id));
        let state = was.map(|was| was.state);
        if state.is_none() && one.state != CredentialState::Retiring {
            steps.push(format!("secret {id} is made"));
        }
        if one.verified_at.is_some() && was.and_then(|was| was.verified_at.as_ref()) != one.verified_at.as_ref() {
            steps.push(format!("secret {id} is accepted by the token endpoint"));
        }
        if one.state == CredentialState::Active && state != Some(CredentialState::Active) {
            steps.push(format!("secret {id} is published"));
        }
    }
    for one in secrets().filter(|one| one.state == CredentialState::Retiring) {
        let was = old(&one.id);
        if was.is_none_or(|was| (was.state, &was.expires_at, was.pods) != (one.state, &one.expires_at, one.pods)) {
            let until =
                one.expires_at.as_ref().map_or_else(String::new, |end| format!(", until {}", moment(end.0, now)));
            let pods = one.pods.map_or_else(String::new, |pods| format!("; {pods} pods may still use it"));
            steps.push(format!("secret {} is retiring{until}{pods}", one.id));
        }
    }
    let stays = |id: &str| credentials(after).iter().any(|credential| credential.id == id);
    let gone = credentials(before).iter().filter(|credential| !stays(&credential.id));
    steps.extend(gone.map(|credential| format!("secret {} is removed at the server", credential.id)));
    let said = condition(after, ROTATED).filter(|said| said.status == "False");
    if let Some(said) = said.filter(|said| condition(before, ROTATED).as_ref() != Some(said)) {
        steps.push(format!("{}: {}", said.reason, said.message));
    }
    steps
}

fn credentials(app: &ExternalApplication) -> &[CredentialStatus] {
    app.status.as_ref().map_or(&[], |status| &status.credentials)
}

fn published(app: &ExternalApplication) -> Option<String> {
    rotation::current(credentials(app)).map(|one| one.id.clone())
}

fn condition(app: &ExternalApplication, kind: &str) -> Option<Said> {
    app.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind).map(Said::of)
}

#[cfg(test)]
mod tests;
