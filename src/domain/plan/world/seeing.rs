//! The world as a pass sees it.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::domain::fixtures::observed;
use crate::domain::intent::{self, Search};
use crate::domain::observed::{Look, ServerSeen, look};
use crate::domain::outputs::{CREDENTIAL, Content, MANAGED_BY, Rendered, VERSIONED, resolve};
use crate::domain::registration::Listed;
use crate::domain::validate::desired;

impl World {
    /// A ConfigMap or Secret of someone else.
    pub fn add_foreign_object(&mut self, kind: OutputKind, name: &str) {
        let object = Object {
            uid: format!("foreign-{name}"),
            version: "1".into(),
            ours: false,
            data: [("client-secret".to_owned(), "theirs".to_owned())].into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        self.objects.entry((kind, name.into())).or_insert(object);
    }

    pub fn observe(&self) -> Observed {
        let wanted = resolve(&self.app);
        let named = |kind: OutputKind, name: &str| {
            wanted.iter().any(|output| !output.immutable && output.kind == kind && output.name == name)
        };
        let is_version =
            |name: &str| wanted.iter().any(|output| output.immutable && name.starts_with(&format!("{}-", output.name)));
        let mut seen = observed();
        if let ServerSeen::Usable(facts) = &mut seen.seen {
            let scopes = Arc::make_mut(&mut facts.catalogue).resources.iter_mut().map(|resource| &mut resource.scopes);
            scopes.for_each(|scopes| scopes.retain(|scope| Some(scope.name.as_str()) != self.unknown));
            if self.keeping != Keeping::Several {
                (facts.capabilities.marks, facts.capabilities.secrets) = (true, Secrets::One);
            }
        }
        for ((kind, name), object) in &self.objects {
            let named = named(*kind, name);
            if named || object.ours {
                seen.outputs.push(object.seen(*kind, name));
            }
            if !named && object.ours {
                seen.left_over.push(LeftOver {
                    output: OutputRef { kind: *kind, name: name.clone(), uid: object.uid.clone() },
                    credential: object.annotations.get(CREDENTIAL).cloned(),
                    created_at: None,
                    immutable: object.annotations.contains_key(VERSIONED) && is_version(name),
                });
            }
        }
        seen.kept = self.kept.clone();
        let due = crate::domain::rotation::of_application(&self.app, self.now);
        let begins = due.is_some() && !crate::domain::rotation::is_under_way(&self.app, seen.kept.as_ref());
        seen.turn = begins.then_some(crate::domain::rotation::pacing::Turn::Begin);
        seen.registration = self.look(&seen.outputs, begins);
        let id = match &seen.registration {
            RegistrationSeen::Unread(id) => Some(id.clone()),
            RegistrationSeen::Present(actual) => Some(actual.client_id.clone()),
            _ => None,
        };
        let of_it = self.held.as_ref().filter(|(client, _)| Some(client) == id.as_ref());
        seen.held = of_it.map(|(_, held)| held.clone());
        seen
    }

    fn look(&self, outputs: &[SeenOutput], begins: bool) -> RegistrationSeen {
        let list: Vec<Listed> = self.registrations.values().map(|known| known.actual.as_listed()).collect();
        let wanted = desired(&self.app).display_name;
        let rows = list.iter().filter(|row| row.display_name == wanted);
        let mut namesakes: Vec<ClientId> = rows.map(|row| row.client_id.clone()).collect();
        if self.keeping != Keeping::Several {
            namesakes.clear();
        }
        match look(&self.app, outputs, self.suspect, begins, self.now) {
            Look::Nothing => match status_client_id(&self.app) {
                Some(id) => RegistrationSeen::Unread(id),
                None => RegistrationSeen::None { namesakes: Vec::new() },
            },
            Look::Namesakes => RegistrationSeen::None { namesakes },
            Look::Detail(id) => match self.registrations.get(&id) {
                Some(known) => RegistrationSeen::Present(Box::new(known.actual.clone())),
                None => RegistrationSeen::Missing { id, namesakes },
            },
            Look::Search(intent) => {
                let hold = intent::hold(&intent, &self.identity, self.now);
                let new = intent::newcomers(&intent, "app-uid", &list, &|_| false);
                let candidates = new.map(|row| self.registrations[&row.client_id].actual.clone()).collect();
                // This server always answers, and shows at once what it has.
                let empty_since = Some(intent.at);
                let search = Search { candidates, namesakes, empty_since, ..Search::default() };
                RegistrationSeen::Unsettled { hold, search, intent }
            }
        }
    }
}

impl Object {
    pub(super) fn written(rendered: Rendered, uid: String, version: String) -> Self {
        assert_eq!(rendered.labels.get(MANAGED_BY.0).map(String::as_str), Some(MANAGED_BY.1));
        let data = match rendered.content {
            Content::Secret(data) => {
                data.into_iter().map(|(key, value)| (key, value.expose_secret().to_owned())).collect()
            }
            Content::ConfigMap(data) => data,
        };
        Self { uid, version, ours: true, data, labels: rendered.labels, annotations: rendered.annotations }
    }

    pub fn seen(&self, kind: OutputKind, name: &str) -> SeenOutput {
        let content = match kind {
            OutputKind::Secret => Content::Secret(
                self.data.iter().map(|(key, value)| (key.clone(), SecretString::from(value.clone()))).collect(),
            ),
            OutputKind::ConfigMap => Content::ConfigMap(self.data.clone()),
        };
        SeenOutput {
            kind,
            name: name.into(),
            uid: self.uid.clone(),
            resource_version: self.version.clone(),
            ours: self.ours,
            given: false,
            secret_type: None,
            content,
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
        }
    }
}
