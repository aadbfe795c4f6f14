//! How an application's credentials are replaced, and how it may do without a secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::HumanDuration;

/// When the client secret is replaced, and what becomes of the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.window) || has(self.interval)")
    .message("window needs interval: it says when a rotation that is due may begin. Set interval, or remove window"))]
#[x_kube(validation = Rule::new("!has(self.restart) || size(self.restart) == 0 || !has(self.overlap) || self.overlap.matches('[1-9]')")
    .message("restart needs an overlap: what is being restarted still has the old secret. Remove overlap (24h is used), or set one"))]
pub struct Rotation {
    /// How old the secret may become before it is replaced, for example `30d`. Up to a tenth earlier, so that applications
    /// of one age are not replaced at once. Absent: only ahead of an expiry at the server, and when somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<HumanDuration>,
    /// The age that the secret must not reach: then it is replaced outside of any window too. At least `interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<HumanDuration>,
    /// How long the old secret stays valid after the new one is published, for example `24h` (default). `0s`: not at all;
    /// a server that keeps one secret only can do nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// When a scheduled rotation may begin. A request, an expiry or a leak does not wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<RotationWindow>,
    /// When the old secret is removed. AfterOverlap (default): when `overlap` has passed. WhenConsumersRolled: as soon as
    /// no running pod that was started before the new secret was published uses the Secret, at the latest when `overlap`
    /// has passed. The operator must be allowed to read pods for it (`--watch-consumers`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire: Option<Retire>,
    /// Workloads in the namespace to restart once the new secret is published, one after the other, each only when the one
    /// before has rolled out. One that is paused or failing is left alone. The operator must be allowed to restart
    /// workloads for it (`--restart-workloads`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub restart: Vec<RestartTarget>,
}

/// A duration as people write it, which may be nothing: `0s`, `90s`, `24h`, `7d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Overlap(
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = [{
        "rule": "self.matches('^([0-9]{1,6}[smhd])+$')",
        "message": "must be a duration such as 0s, 90s, 24h or 7d"
    }]))]
    pub String,
);

impl Overlap {
    /// `None` where the text is not a duration; the schema refuses such text at admission.
    pub fn parse(&self) -> Option<std::time::Duration> {
        let nothing = self.0.chars().all(|c| c == '0' || c.is_ascii_alphabetic()) && !self.0.is_empty();
        if nothing { Some(std::time::Duration::ZERO) } else { HumanDuration(self.0.clone()).parse() }
    }
}

/// When a scheduled rotation may begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationWindow {
    /// When the window opens: minute, hour, day of month, month, day of week. `0 2 * * 6` is Saturday at two.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\s*\\S+(\\s+\\S+){4}\\s*$')")
        .message("schedule must have five fields: minute, hour, day of month, month, day of week, such as 0 2 * * 6"))]
    pub schedule: String,
    /// How long it stays open, for example `4h`.
    pub duration: HumanDuration,
    /// The time zone of the schedule, by its name in the IANA database, for example `Europe/Berlin`. Default: `Etc/UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(r"self.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$')")
        .message("timeZone must be a name of the IANA database, such as Europe/Berlin or Etc/UTC"))]
    pub time_zone: Option<String>,
}

/// When the old secret is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retire {
    #[default]
    AfterOverlap,
    WhenConsumersRolled,
}

/// A workload in the namespace of the application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
pub struct RestartTarget {
    /// Deployment, StatefulSet or DaemonSet.
    pub kind: WorkloadKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("must be the name of a workload in this namespace"))]
    pub name: String,
}

/// What can be restarted.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::EnumIter,
)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

/// Whether a Confidential application has a client secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientSecretPolicy {
    /// One is generated, published and looked after.
    #[default]
    Generate,
    /// It has none: it authenticates with `federatedCredentials`, or with a key of its own.
    None,
}

/// Whose tokens the application authenticates with, instead of a secret (RFC 7523): those of an issuer, for an audience
/// and a subject, compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.serviceAccountRef) ? (!has(self.issuer) && !has(self.subject)) : (has(self.issuer) && has(self.subject))")
    .message("set either serviceAccountRef (issuer and subject are then the cluster's), or both issuer and subject"))]
pub struct FederatedCredential {
    /// A name for it, unique in this list, and its name at the server.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')")
        .message("must consist of letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"))]
    pub name: String,
    /// The `aud` of the tokens: one value, compared exactly. For the projected token of a service account it is the
    /// `audience` of the volume.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\s*]+$')").message("audience must be one value, without white space and `*`: it is compared exactly"))]
    pub audience: String,
    /// The `iss` of the tokens. Its discovery document and its keys must be reachable by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^https://[^/?#@\\s*]+(/[^?#\\s*]*)?$')")
        .message("issuer must be an https URL without query, fragment and `*`, exactly as it stands in the tokens"))]
    pub issuer: Option<String>,
    /// The `sub` of the tokens, compared exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^[^\\s*]+$')").message("subject must be one value, without white space and `*`: it is compared exactly"))]
    pub subject: Option<String>,
    /// A service account in the namespace of the application, whose projected tokens are meant: issuer and subject are
    /// filled in from the cluster. Not `default`: every pod that names no other runs as that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountReference>,
}

/// A service account in the namespace of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ServiceAccountReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message("must be the name of a service account in this namespace"))]
    #[x_kube(validation = Rule::new("self != 'default'")
        .message("the service account `default` is that of every pod that names no other: make one for this application, and set spec.serviceAccountName in its pods"))]
    pub name: String,
}

/// What is known of rotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// When the current secret was published in place of another one. The next scheduled rotation is counted from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,
    /// Why: Schedule, MaxAge, Expiry, Requested, Leaked, RolledBack, Gone (the server did not have it any more) or Lost (no
    /// object carried it any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub last_trigger: Option<String>,
    /// The value of the annotation `extapp.dev/rotate` that was last carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub rotate: Option<String>,
    /// The value of the annotation `extapp.dev/rollback` that was last carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub rollback: Option<String>,
    /// The value of the annotation `extapp.dev/revoke-now` that was last carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub revoke_now: Option<String>,
    /// What was carried out before that, the latest first: an annotation that goes back to one of these values asks for
    /// nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub earlier: Vec<RotationRequest>,
    /// When a new secret was last withdrawn because the server did not accept it. The next try is an hour later, or when
    /// somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_time: Option<Time>,
    /// The credential for which everything in `spec.rotation.restart` has been restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub restarted: Option<String>,
}

/// What somebody asked for with an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationRequest {
    /// The annotation.
    #[schemars(length(max = 64))]
    pub annotation: String,
    /// Its value.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// How rotations of the applications of one server are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationPacing {
    /// How many applications may be between a new secret and its publication at once. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub concurrency: Option<i32>,
    /// The least time between the beginnings of two scheduled rotations, for example `30s`. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Overlap>,
}
