//! Who still has a secret that was replaced, and restarting those that the application names.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::report::contradicted;
use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::api::rotation::{RestartTarget, Retire};
use crate::controller::Context;
use crate::controller::changes::digest;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found, say};
use crate::domain::consumers::{self, SETTLING, has_retiring};
use crate::domain::outputs;
use crate::domain::reason::Reason;
use crate::domain::registration::SecretId;
use crate::domain::restarts::{self, Decision, Due, Left, Next, Outcome, Seen, annotation};
use crate::domain::rotation::Policy;
use crate::domain::status::Achieved;
use crate::metrics::Restart;

/// How long until a rollout is looked at again of which no pod has told anything.
const ROLLING: Duration = Duration::from_mins(1);
/// How long until workloads that were left alone are looked at again.
const LEFT: Duration = Duration::from_mins(5);

/// What pods and workloads tell of an application whose secret was replaced.
#[derive(Default)]
pub struct Consumption {
    /// How many pods still have a secret that was replaced, where that is known and matters.
    pub holders: Option<usize>,
    /// The workloads that are to be restarted, as they are.
    pub restarts: Option<(Due, Vec<(RestartTarget, Seen)>)>,
    /// Whether a secret can go before its time, because nobody has it any more.
    pub rolled: bool,
}

/// Looks at pods and workloads. While they matter, every change of these pods is a reason to look again.
pub async fn observe(app: &ExternalApplication, may_look: bool, ctx: &Context, now: Timestamp) -> Consumption {
    let features = ctx.settings.features;
    let (Some(status), Ok(policy), true) = (app.status.as_ref(), Policy::of(app), features.watch_consumers && may_look)
    else {
        return Consumption::default();
    };
    let due = restarts::due(app, policy.overlap(), features, now);
    let retiring = has_retiring(&status.credentials);
    if !retiring && due.is_none() {
        ctx.consumers.forget(app);
        return Consumption::default();
    }
    let secrets = secrets_of(app, ctx);
    ctx.consumers.wait_for(app, secrets.clone());
    let pods = ctx.consumers.of(app.metadata.namespace.as_deref().unwrap_or_default(), &secrets);
    let published = consumers::published(status).filter(|_| retiring);
    let holders = pods.zip(published).and_then(|(pods, since)| consumers::settled_holders(&pods, since, now));
    let restarts = match due {
        Some(due) => Some((due, targets(app, ctx).await)),
        None => None,
    };
    let rolled = policy.retire == Retire::WhenConsumersRolled && holders == Some(0);
    Consumption { holders, restarts, rolled }
}

/// What is said of a secret that was removed.
pub fn farewell(secret: &SecretId, holders: Option<usize>) -> (Tone, String) {
    match holders {
        Some(pods) if pods > 0 => (
            Tone::Warning,
            format!(
                "removed secret {secret} at the server; {pods} running pods were started before the present one was published, and may still have one that no longer works"
            ),
        ),
        _ => (Tone::Normal, format!("removed secret {secret} at the server")),
    }
}

/// When to look again at pods and workloads, after a pass that leaves this behind.
pub fn next_look(app: &ExternalApplication, achieved: &Achieved, ctx: &Context, now: Timestamp) -> Option<Duration> {
    let retiring = has_retiring(&achieved.credentials);
    if !ctx.settings.features.watch_consumers || (!retiring && achieved.restarts.is_none()) {
        return None;
    }
    // Pods are looked at with the next pass, and it must know what this one has said.
    let unseen = contradicted(app, ctx).then_some(Duration::from_secs(1));
    let settled = app.status.as_ref().and_then(consumers::published).and_then(|since| since.checked_add(SETTLING).ok());
    let settling = settled.and_then(|settled| Duration::try_from(settled.duration_since(now)).ok());
    let restarts = achieved.restarts.as_ref().and_then(|outcome| match outcome {
        Outcome::All(_) => None,
        Outcome::NotYet(wait) => Some(*wait),
    });
    [unseen, settling.filter(|_| retiring), restarts].into_iter().flatten().min()
}

/// The Secrets that the application publishes, and those that it published before.
fn secrets_of(app: &ExternalApplication, ctx: &Context) -> BTreeSet<String> {
    let wanted = outputs::resolve(app).into_iter().map(|output| (output.kind, output.name));
    let secrets = wanted.chain(ctx.owned.of(app).into_keys()).filter(|(kind, _)| *kind == OutputKind::Secret);
    secrets.map(|(_, name)| name).collect()
}

/// The workloads that are to be restarted, as they are.
async fn targets(app: &ExternalApplication, ctx: &Context) -> Vec<(RestartTarget, Seen)> {
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    let annotation = annotation(app.metadata.name.as_deref().unwrap_or_default());
    let (kubernetes, annotation) = (ctx.kubernetes(), annotation.as_str());
    let wanted = app.spec.rotation.iter().flat_map(|rotation| &rotation.restart);
    let reads = wanted.map(async |target| {
        let seen = kubernetes.workload(namespace, target, annotation).await;
        (target.clone(), seen)
    });
    futures::future::join_all(reads).await
}

/// Carries out what was decided. Who has to wait for others is woken in its turn.
pub async fn carry_out(app: &ExternalApplication, decision: Decision, ctx: &Context, now: Timestamp) -> Outcome {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let mut left = decision.left;
    let restarted = match decision.next {
        Next::Done => {
            end(uid, ctx);
            count("done", ctx);
            Outcome::All(decision.credential)
        }
        Next::Nothing => {
            end(uid, ctx);
            Outcome::NotYet(LEFT)
        }
        Next::Wait(_) => {
            ctx.rollouts.goes_on(uid, now);
            Outcome::NotYet(ROLLING)
        }
        Next::Restart { .. } if !ctx.rollouts.begin(uid, &ObjectRef::from_obj(app), now) => Outcome::NotYet(ROLLING),
        Next::Restart { target, version } => match restart(app, &target, &version, &decision.credential, ctx).await {
            Ok(restarted) => restarted,
            Err(why) => {
                end(uid, ctx);
                left.push(Left { target, why });
                Outcome::NotYet(LEFT)
            }
        },
    };
    tell_of_left(app, uid, &left, ctx);
    restarted
}

/// There is no rollout of this application, and another one may begin.
pub fn end(uid: &str, ctx: &Context) {
    ctx.wake(ctx.rollouts.ended(uid));
}

/// Why it was not done, where it could not be.
async fn restart(
    app: &ExternalApplication,
    target: &RestartTarget,
    version: &str,
    credential: &str,
    ctx: &Context,
) -> Result<Outcome, String> {
    let meta = &app.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let annotation = annotation(meta.name.as_deref().unwrap_or_default());
    match ctx.kubernetes().restart(namespace, target, version, (&annotation, credential)).await {
        Ok(()) => {
            count("restarted", ctx);
            let note = format!("restarted {} {} for secret {credential}", <&str>::from(target.kind), target.name);
            ctx.events.publish(app, Tone::Normal, Reason::Restarted, &note);
            Ok(Outcome::NotYet(ROLLING))
        }
        // Somebody changed it: it is looked at anew.
        Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(Outcome::NotYet(Duration::from_secs(1))),
        Err(error) => Err(say(&error)),
    }
}

/// Says once which workloads are left alone, and again when that changes.
fn tell_of_left(app: &ExternalApplication, uid: &str, left: &[Left], ctx: &Context) {
    let notes: Vec<String> = left
        .iter()
        .map(|left| format!("{} {} is left alone: {}", <&str>::from(left.target.kind), left.target.name, left.why))
        .collect();
    if !ctx.rollouts.is_news(uid, digest(&notes)) {
        return;
    }
    for note in notes {
        count("left", ctx);
        ctx.events.publish(app, Tone::Warning, Reason::RestartLeft, &note);
    }
}

fn count(outcome: &'static str, ctx: &Context) {
    ctx.metrics.restarts.get_or_create(&Restart { outcome }).inc();
}
