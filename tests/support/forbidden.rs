//! Secrets that the API server refuses to have written, as by the policy of a cluster's owner.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::error::Result;
use super::eventually;
use super::world::{LIMIT, World};

/// A policy of one namespace; [`Forbidden::lift`] ends it.
pub struct Forbidden {
    client: Client,
    namespace: String,
    name: String,
}

impl Forbidden {
    /// Has writes of the Secrets refused whose name matches this expression, from when this returns.
    pub async fn names(world: &World, expression: &str) -> Result<Self> {
        let namespace = world.home.name();
        let letters: String = expression.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("forbids-{namespace}-{letters}");
        let matches = format!("object.metadata.name.matches('^({expression}|{name})$')");
        let forbidden = Self { client: world.client.clone(), namespace: namespace.to_owned(), name };
        let policy = json!({
            "metadata": {"name": forbidden.name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"],
                }]},
                "validations": [{"expression": format!("!{matches}"), "message": "not here"}],
            },
        });
        let binding = json!({
            "metadata": {"name": forbidden.name},
            "spec": {
                "policyName": forbidden.name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            },
        });
        let parameters = PostParams::default();
        forbidden.policies().create(&parameters, &serde_json::from_value(policy)?).await?;
        forbidden.bindings().create(&parameters, &serde_json::from_value(binding)?).await?;
        let refused = async || Ok(forbidden.is_refused().await?.then_some(()));
        eventually("the policy is in force", LIMIT, refused).await?;
        Ok(forbidden)
    }

    pub async fn lift(&self) -> Result<()> {
        let parameters = DeleteParams::default();
        self.bindings().delete(&self.name, &parameters).await?;
        self.policies().delete(&self.name, &parameters).await?;
        let written = async || Ok((!self.is_refused().await?).then_some(()));
        eventually("the policy is no longer in force", LIMIT, written).await
    }

    fn policies(&self) -> Api<ValidatingAdmissionPolicy> {
        Api::all(self.client.clone())
    }

    fn bindings(&self) -> Api<ValidatingAdmissionPolicyBinding> {
        Api::all(self.client.clone())
    }

    /// Tries it with a Secret of its own name, without writing anything.
    async fn is_refused(&self) -> Result<bool> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = serde_json::from_value(json!({"metadata": {"name": self.name}}))?;
        let tried = secrets.create(&PostParams { dry_run: true, ..PostParams::default() }, &secret).await;
        match tried {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(status)) if status.code == 422 || status.code == 403 => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}
