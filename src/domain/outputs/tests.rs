use super::*;
use crate::domain::fixtures::{app, desired, endpoints};

struct World {
    desired: Desired,
    endpoints: Endpoints,
    client_id: ClientId,
    id: SecretId,
    secret: ClientSecret,
    redirect_uris: Vec<String>,
}

fn world() -> World {
    World {
        desired: desired(),
        endpoints: endpoints(),
        client_id: ClientId::new("id-9"),
        id: SecretId::new("4"),
        secret: ClientSecret::new("s3cr&t"),
        redirect_uris: vec!["https://b.example/".into(), "https://a.example/".into()],
    }
}

impl World {
    fn facts(&self) -> Facts<'_> {
        Facts {
            name: "invoice-sync",
            namespace: "identity",
            uid: "app-uid",
            provider: "uipath",
            client_id: &self.client_id,
            desired: &self.desired,
            redirect_uris: &self.redirect_uris,
            endpoints: &self.endpoints,
        }
    }

    fn render(&self, output: &ResolvedOutput) -> Result<Rendered, TemplateError> {
        render(output, &self.facts(), Some(Key { id: &self.id, secret: &self.secret }))
    }
}

fn output(json: &serde_json::Value) -> ResolvedOutput {
    let mut app = app();
    app.spec.outputs = vec![serde_json::from_value(json.clone()).expect("an output")];
    resolve(&app).remove(0)
}

fn plain(rendered: &Rendered) -> BTreeMap<String, String> {
    match &rendered.content {
        Content::Secret(data) => data.iter().map(|(k, v)| (k.clone(), v.expose_secret().to_owned())).collect(),
        Content::ConfigMap(data) => data.clone(),
    }
}

fn seen(rendered: Rendered) -> SeenOutput {
    SeenOutput {
        kind: rendered.kind,
        name: rendered.name,
        uid: "u".into(),
        resource_version: "1".into(),
        ours: true,
        given: false,
        secret_type: None,
        content: rendered.content,
        labels: rendered.labels,
        annotations: rendered.annotations,
    }
}

#[test]
fn the_standard_keys_are_the_ones_that_workloads_rely_on() {
    let rendered = world().render(&resolve(&app())[0]).expect("rendered");
    let keys: Vec<String> = plain(&rendered).into_keys().collect();
    assert_eq!(
        keys,
        [
            "authorization-uri",
            "client-id",
            "client-secret",
            "issuer-uri",
            "jwk-set-uri",
            "provider",
            "redirect-uri",
            "scope",
            "token-uri",
            "type"
        ]
    );
    assert_eq!(rendered.name, "invoice-sync-oauth");
    assert_eq!(plain(&rendered)["scope"], "OR.Queues");
    assert_eq!(plain(&rendered)["redirect-uri"], "https://b.example/", "the first of the spec, not of the alphabet");
}

#[test]
fn env_keys_are_the_standard_ones_in_capitals() {
    let rendered = world().render(&output(&serde_json::json!({"name": "x", "format": "Env"}))).expect("rendered");
    let data = plain(&rendered);
    assert_eq!(data["CLIENT_SECRET"], "s3cr&t");
    assert!(data.contains_key("ISSUER_URI") && data.contains_key("TOKEN_URI") && !data.contains_key("client-id"));
}

#[test]
fn a_config_map_never_carries_the_secret() {
    let rendered = world().render(&output(&serde_json::json!({"name": "x", "kind": "ConfigMap"}))).expect("rendered");
    assert!(!plain(&rendered).values().any(|value| value.contains("s3cr&t")));
    let template = serde_json::json!(
        {"name": "x", "kind": "ConfigMap", "format": "Template", "template": {"a": "{{ clientSecret }}"}}
    );
    let error = world().render(&output(&template)).err().expect("refused");
    assert_eq!((error.key.as_str(), error.what.contains("undefined")), ("a", true), "{error}");
}

#[test]
fn a_template_is_strict_and_its_error_names_the_key() {
    let wrong =
        output(&serde_json::json!({"name": "x", "format": "Template", "template": {"app.conf": "{{ clientID }}"}}));
    let error = world().render(&wrong).err().expect("refused");
    assert_eq!((error.output.as_str(), error.key.as_str()), ("x", "app.conf"));
    assert!(!error.to_string().contains("s3cr&t"));
}

#[test]
fn a_template_cannot_run_for_ever() {
    let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    let wrong = output(&serde_json::json!({"name": "x", "format": "Template", "template": {"a": text}}));
    assert!(world().render(&wrong).is_err());
}

#[test]
fn a_templated_secret_also_carries_what_the_operator_reads_back() {
    let spec =
        serde_json::json!({"name": "x", "format": "Template", "template": {"a": "{{ clientId }}:{{ clientSecret }}"}});
    let rendered = world().render(&output(&spec)).expect("rendered");
    assert_eq!(plain(&rendered)["a"], "id-9:s3cr&t");
    let (id, secret) = seen(rendered).intact_secret("app-uid", &ClientId::new("id-9")).expect("read back");
    assert_eq!((id.as_str(), secret.expose()), ("4", "s3cr&t"));
    let wrong = serde_json::json!({"name": "x", "format": "Template", "template": {"client-secret": "Bearer {{ clientSecret }}"}});
    assert!(world().render(&output(&wrong)).is_err());
}

#[test]
fn an_edited_key_is_noticed_and_an_added_one_is_left_alone() {
    let world = world();
    let spec = resolve(&app()).remove(0);
    let edit = |change: &dyn Fn(&mut BTreeMap<String, SecretString>)| {
        let mut seen = seen(world.render(&spec).expect("rendered"));
        if let Content::Secret(data) = &mut seen.content {
            change(data);
        }
        seen
    };
    let wanted = world.render(&spec).expect("rendered");
    assert!(edit(&|_| ()).says(&wanted));
    assert!(edit(&|data| drop(data.insert("extra".into(), "x".into()))).says(&wanted));
    assert!(!edit(&|data| drop(data.insert("scope".into(), "x".into()))).says(&wanted));
    assert!(!edit(&|data| drop(data.remove("token-uri"))).says(&wanted));
    let stolen = edit(&|data| drop(data.insert("client-secret".into(), "x".into())));
    assert!(stolen.intact_secret("app-uid", &world.client_id).is_none());
}

#[test]
fn a_key_that_is_no_longer_asked_for_is_noticed() {
    let two = output(&serde_json::json!({"name": "x", "format": "Template", "template": {"a": "1", "b": "2"}}));
    let one = output(&serde_json::json!({"name": "x", "format": "Template", "template": {"a": "1"}}));
    let before = seen(world().render(&two).expect("rendered"));
    assert!(!before.says(&world().render(&one).expect("rendered")));
}

#[test]
fn an_immutable_object_gets_a_new_name_with_every_change_and_with_every_credential() {
    let spec = output(&serde_json::json!({"name": "x", "immutable": true}));
    let first = world().render(&spec).expect("rendered").name;
    assert!(first.starts_with("x-") && first.len() == 10, "{first}");
    assert_eq!(world().render(&spec).expect("rendered").name, first);
    let mut other = world();
    other.id = SecretId::new("5");
    assert_ne!(other.render(&spec).expect("rendered").name, first);
    let mut other = world();
    other.redirect_uris.reverse();
    assert_ne!(other.render(&spec).expect("rendered").name, first);
}

#[test]
fn another_applications_object_yields_no_secret() {
    let mut foreign = seen(world().render(&resolve(&app())[0]).expect("rendered"));
    foreign.ours = false;
    assert!(foreign.intact_secret("app-uid", &ClientId::new("id-9")).is_none());
    foreign.ours = true;
    assert!(foreign.intact_secret("another-uid", &ClientId::new("id-9")).is_none());
}

#[test]
fn a_template_that_fails_on_the_real_secret_alone_does_not_tell_it() {
    let text = "{% if clientSecret != 'placeholder' %}{{ {}[clientSecret].x }}{{ clientSecret|int }}{% endif %}";
    let sly = output(&serde_json::json!({"name": "x", "format": "Template", "template": {"a": text}}));
    let world = world();
    check_templates(std::slice::from_ref(&sly), &world.facts()).expect("the trial passes");
    let error = world.render(&sly).err().expect("refused");
    assert!(!error.to_string().contains("s3cr&t"), "{error}");
}
