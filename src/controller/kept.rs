//! The object in which the secrets of a rotation are kept: a Secret beside the application's own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource as _, ResourceExt as _};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::kubernetes::{Kubernetes, is_not_found, text_of};
use super::owned::controller_of;
use crate::api::ExternalApplication;
use crate::domain::outputs::MANAGED_BY;
use crate::domain::rotation::kept::{Kept, SEAL, Seal, SeenKept, Unreadable};

/// The type of the Secret.
const TYPE: &str = "extapp.dev/rotation";
/// The field manager of what is kept.
const MANAGER: &str = "extapp-rotation";

fn name_of(app: &ExternalApplication) -> String {
    Kept::object_name(&app.name_any(), &app.uid().unwrap_or_default())
}

/// Why a Secret of this name cannot be written by us.
fn in_the_way(app: &ExternalApplication, secret: &Secret) -> Option<String> {
    let ours = controller_of(&secret.metadata).is_some_and(|owner| Some(&owner.uid) == app.metadata.uid.as_ref());
    let what = if !ours || secret.type_.as_deref() != Some(TYPE) {
        "is not the operator's"
    } else if secret.metadata.deletion_timestamp.is_some() {
        "is being deleted and does not go, because it has finalizers"
    } else if secret.immutable == Some(true) {
        "was made immutable"
    } else {
        return None;
    };
    let name = name_of(app);
    Some(format!(
        "the Secret {name}, in which a rotation keeps the next secret, {what}: delete it, and the secret is replaced"
    ))
}

impl Kubernetes<'_> {
    fn secrets(&self, app: &ExternalApplication) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &app.namespace().unwrap_or_default())
    }

    /// Keeps this, over the version that was read, or as a new object: of two operators, one loses. `trial`: only asks whether
    /// it could be.
    pub async fn keep(
        &self,
        app: &ExternalApplication,
        kept: &Kept,
        seal: &str,
        over: Option<&(String, String)>,
        trial: bool,
    ) -> kube::Result<ObjectMeta> {
        let uid = app.uid().unwrap_or_default();
        let data: BTreeMap<String, String> =
            kept.data(&uid).iter().map(|(key, value)| (key.clone(), STANDARD.encode(value.expose_secret()))).collect();
        let mut metadata = json!({
            "name": name_of(app), "annotations": kept.annotations(), "labels": { MANAGED_BY.0: MANAGED_BY.1 },
            "ownerReferences": [{
                "apiVersion": ExternalApplication::api_version(&()), "kind": ExternalApplication::kind(&()),
                "name": app.name_any(), "uid": uid, "controller": true
            }]
        });
        metadata["annotations"][SEAL] = json!(seal);
        let mut body = json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": metadata, "data": data});
        if !trial {
            self.metrics.wrote("Secret", "rotation");
        }
        let api = self.secrets(app);
        if let Some((uid, version)) = over {
            // Of what was kept before nothing may be left: whoever applies keeps what others have written.
            let (keys, annotations) = Kept::keys();
            keys.for_each(|key| body["data"][&key] = body["data"].get(&key).cloned().unwrap_or_default());
            for key in annotations {
                let all = &mut body["metadata"]["annotations"];
                all[key] = all.get(key).cloned().unwrap_or_default();
            }
            body["metadata"]["uid"] = json!(uid);
            body["metadata"]["resourceVersion"] = json!(version);
            let parameters =
                PatchParams { field_manager: Some(MANAGER.into()), dry_run: trial, ..PatchParams::default() };
            return Ok(api.patch(&name_of(app), &parameters, &Patch::Merge(&body)).await?.metadata);
        }
        let secret = serde_json::from_value(body).map_err(kube::Error::SerdeError)?;
        let parameters = PostParams { field_manager: Some(MANAGER.into()), dry_run: trial };
        Ok(api.create(&parameters, &secret).await?.metadata)
    }

    /// What is kept for the application, or what stands in its place. `judge`: whose a seal over a text is, where that can be
    /// told.
    pub async fn read_kept(
        &self,
        app: &ExternalApplication,
        judge: impl Fn(&str, &str) -> Option<Seal>,
    ) -> kube::Result<(Option<SeenKept>, Option<Unreadable>)> {
        let Some(secret) = self.secrets(app).get_opt(&name_of(app)).await? else { return Ok((None, None)) };
        if let Some(because) = in_the_way(app, &secret) {
            return Ok((None, Some(Unreadable::InTheWay { because })));
        }
        let (data, meta) = (text_of(secret.data.unwrap_or_default()), secret.metadata);
        let annotations = meta.annotations.unwrap_or_default();
        let uid = app.uid().unwrap_or_default();
        let (standing, version) = (meta.uid.unwrap_or_default(), meta.resource_version.unwrap_or_default());
        let read = Kept::read(&uid, &data, &annotations).zip(annotations.get(SEAL));
        let judged = read.map(|(kept, seal)| (judge(&kept.sealed_text(&uid), seal), kept));
        Ok(match judged {
            Some((Some(seal @ (Seal::Current | Seal::Former)), kept)) => {
                (Some(SeenKept { uid: standing, resource_version: version, kept, seal }), None)
            }
            // It cannot be told now.
            Some((None, _)) => (None, None),
            _ => (None, Some(Unreadable::Damaged { uid: standing, resource_version: version })),
        })
    }

    /// Keeps nothing any more, unless somebody has written it meanwhile: then it is a conflict.
    pub async fn keep_no_more(&self, app: &ExternalApplication, seen: &SeenKept) -> kube::Result<()> {
        let preconditions =
            Preconditions { uid: Some(seen.uid.clone()), resource_version: Some(seen.resource_version.clone()) };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        self.metrics.wrote("Secret", "rotation");
        let gone = self.secrets(app).delete(&name_of(app), &parameters).await.map(|_| ());
        gone.or_else(|error| if is_not_found(&error) { Ok(()) } else { Err(error) })
    }
}
