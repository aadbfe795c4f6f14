//! Whether an application that signs with a key of its own says all that belongs to it.

use crate::api::ExternalApplication;
use crate::api::external_application::TokenEndpointAuthMethod::PrivateKeyJwt;
use crate::domain::jwks::KeySet;
use crate::domain::observed::{Finding, keeps_secret};
use crate::domain::reason::Reason;

/// What the schema's rules say, once more, and what they cannot say of the keys.
pub(super) fn holds(app: &ExternalApplication) -> Result<(), Finding> {
    let Some(settings) = &app.spec.settings else { return Ok(()) };
    let refused = |field: &str, what: &str| Err(Finding::stalled(Reason::InvalidSpec, format!("spec.{field}: {what}")));
    let signs = settings.token_endpoint_auth_method == Some(PrivateKeyJwt);
    let field = "settings.tokenEndpointAuthMethod";
    match (signs, settings.jwks_uri.is_some() || settings.jwks.is_some()) {
        (true, false) => return refused(field, "private_key_jwt needs settings.jwksUri or settings.jwks"),
        (false, true) => return refused(field, "settings.jwksUri and settings.jwks go with private_key_jwt alone"),
        _ => {}
    }
    if settings.jwks_uri.is_some() && settings.jwks.is_some() {
        return refused("settings.jwks", "set either jwks or jwksUri");
    }
    if signs && keeps_secret(app) {
        let what = "with private_key_jwt no client secret is accepted. Set `clientSecret: None`";
        return refused(field, what);
    }
    let algorithm = settings.token_endpoint_auth_signing_alg.map(<&str>::from);
    if algorithm.is_some() && !signs {
        return refused("settings.tokenEndpointAuthSigningAlg", "it goes with the method private_key_jwt alone");
    }
    let Some(jwks) = &settings.jwks else { return Ok(()) };
    match KeySet::parse(jwks) {
        Err(what) => refused("settings.jwks", &what),
        Ok(keys) => match (algorithm, keys.algorithm()) {
            (Some(asked), Some(theirs)) if asked != theirs => refused(
                "settings.tokenEndpointAuthSigningAlg",
                &format!("it is {asked}, and the keys are for {theirs}"),
            ),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::fixtures::app;

    const EC: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "wQ", "y": "wQ"}]}"#;

    fn said(secret: &str, settings: Value) -> Option<String> {
        let mut app = app();
        app.spec.client_secret = serde_json::from_value(secret.into()).expect("a policy");
        app.spec.settings = serde_json::from_value(settings).expect("settings");
        holds(&app).err().map(|finding| {
            assert_eq!(finding.reason, Reason::InvalidSpec);
            finding.message
        })
    }

    #[test]
    fn who_signs_says_with_which_keys_and_has_no_secret() {
        let signing = |more: Value| {
            let mut settings = more;
            settings["tokenEndpointAuthMethod"] = "private_key_jwt".into();
            settings
        };
        let uri = "https://app.example/keys";
        let good = [
            json!({}),
            json!({"tokenEndpointAuthMethod": "client_secret_post"}),
            signing(json!({"jwksUri": uri})),
            signing(json!({"jwks": EC, "tokenEndpointAuthSigningAlg": "ES256"})),
        ];
        for settings in good {
            assert_eq!(said("None", settings.clone()), None, "{settings}");
        }
        let bad = [
            ("None", signing(json!({})), "needs settings.jwksUri or settings.jwks"),
            ("None", json!({"jwksUri": uri}), "go with private_key_jwt alone"),
            ("None", signing(json!({"jwksUri": uri, "jwks": EC})), "set either"),
            ("Generate", signing(json!({"jwksUri": uri})), "Set `clientSecret: None`"),
            ("Generate", json!({"tokenEndpointAuthSigningAlg": "ES256"}), "goes with the method"),
            ("None", signing(json!({"jwks": EC, "tokenEndpointAuthSigningAlg": "RS256"})), "the keys are for ES256"),
            ("None", signing(json!({"jwks": "{\"keys\": []}"})), "at least one key"),
        ];
        for (secret, settings, expected) in bad {
            let said = said(secret, settings.clone()).expect("refused");
            assert!(said.starts_with("spec.settings.") && said.contains(expected), "{settings}: {said}");
        }
    }
}
