//! The settings that a spec asks for, in the words that every backend shares.

use super::jwks::KeySet;
use super::registration::{Setting, SettingValue, Settings};
use crate::api::common::HumanDuration;
use crate::api::settings::ApplicationSettings;

/// Only what is set.
pub fn settings(spec: &ApplicationSettings) -> Settings {
    let text = |text: &str| SettingValue::Text(text.to_owned());
    let list = |items: &Vec<String>| SettingValue::List(items.iter().cloned().collect());
    let seconds = |duration: &HumanDuration| duration.parse().map(|duration| SettingValue::Seconds(duration.as_secs()));
    // What is no key set is refused before anything is done with it.
    let keys =
        |text: &str| KeySet::parse(text).map_or_else(|_| SettingValue::Text(text.to_owned()), SettingValue::Keys);
    let all = [
        (Setting::TokenEndpointAuthMethod, spec.token_endpoint_auth_method.map(|method| text(method.into()))),
        (Setting::TokenEndpointAuthSigningAlg, spec.token_endpoint_auth_signing_alg.map(|alg| text(alg.into()))),
        (Setting::JwksUri, spec.jwks_uri.as_deref().map(text)),
        (Setting::Jwks, spec.jwks.as_deref().map(keys)),
        (Setting::Audiences, spec.audiences.as_ref().map(list)),
        (Setting::AccessTokenLifespan, spec.access_token_lifespan.as_ref().and_then(seconds)),
        (Setting::RefreshTokenLifespan, spec.refresh_token_lifespan.as_ref().and_then(seconds)),
        (Setting::IdTokenLifespan, spec.id_token_lifespan.as_ref().and_then(seconds)),
        (Setting::AccessTokenStrategy, spec.access_token_strategy.map(|strategy| text(strategy.into()))),
        (Setting::PostLogoutRedirectUris, spec.post_logout_redirect_uris.as_ref().map(list)),
        (Setting::AllowedCorsOrigins, spec.allowed_cors_origins.as_ref().map(list)),
        (Setting::FrontchannelLogoutUri, spec.frontchannel_logout_uri.as_deref().map(text)),
        (Setting::BackchannelLogoutUri, spec.backchannel_logout_uri.as_deref().map(text)),
        (Setting::SkipConsent, spec.skip_consent.map(SettingValue::Flag)),
        (Setting::SkipLogoutConsent, spec.skip_logout_consent.map(SettingValue::Flag)),
    ];
    all.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_field_of_its_name_and_comes_through() {
        let spec: ApplicationSettings = serde_json::from_value(serde_json::json!({
            "tokenEndpointAuthMethod": "client_secret_post", "tokenEndpointAuthSigningAlg": "ES256",
            "jwksUri": "https://a.example/keys",
            "jwks": "{\"keys\": []}", "audiences": ["b", "a"], "accessTokenLifespan": "15m",
            "refreshTokenLifespan": "30d", "idTokenLifespan": "1h", "accessTokenStrategy": "jwt",
            "postLogoutRedirectUris": ["https://a.example/"], "allowedCorsOrigins": ["https://a.example"],
            "frontchannelLogoutUri": "https://a.example/f", "backchannelLogoutUri": "https://a.example/b",
            "skipConsent": true, "skipLogoutConsent": false
        }))
        .expect("settings");
        let found = settings(&spec);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), Setting::ALL);
        assert_eq!(found[&Setting::TokenEndpointAuthMethod].to_string(), "client_secret_post");
        assert_eq!(found[&Setting::Audiences].to_string(), "a b");
        assert_eq!(found[&Setting::AccessTokenLifespan], SettingValue::Seconds(900));
        assert_eq!(settings(&ApplicationSettings::default()).len(), 0);
        let written = serde_json::to_value(&spec).expect("JSON");
        for setting in Setting::ALL {
            let field = setting.field().strip_prefix("settings.").expect("a field of settings");
            assert!(written.get(field).is_some(), "{field}");
        }
    }
}
