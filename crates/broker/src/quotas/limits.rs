//! Which limit applies to a client: the most specific one that is set for its user and its client id (`ClientQuotaManager`).

use std::collections::HashMap;

use metadata::QuotaEntity;

/// One half of an entity: absent, the default of its type, or a name.
type Part = Option<Option<String>>;

/// The limits of one kind of quota.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Limits {
    by_entity: HashMap<(Part, Part), f64>,
}

/// Who is measured together, and against which limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Applied {
    pub(crate) user: String,
    pub(crate) client_id: String,
    pub(crate) limit: f64,
}

impl Limits {
    /// Takes the limits of one kind of quota out of all quotas.
    pub(crate) fn new<'a>(quotas: impl Iterator<Item = (&'a QuotaEntity, f64)>) -> Self {
        let of = |entity: &QuotaEntity, kind: &str| entity.get(kind).cloned();
        let by_entity = quotas.map(|(entity, limit)| ((of(entity, "user"), of(entity, "client-id")), limit));
        Self { by_entity: by_entity.collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_entity.is_empty()
    }

    /// The limit of a client, if it has one.
    pub(crate) fn of(&self, user: &str, client_id: &str) -> Option<Applied> {
        let named = |name: &str| Some(Some(name.to_owned()));
        let default = || Some(None);
        // Whether user and client id tell the clients apart that share the limit.
        let candidates: [((Part, Part), (bool, bool)); 8] = [
            ((named(user), named(client_id)), (true, true)),
            ((named(user), default()), (true, true)),
            ((named(user), None), (true, false)),
            ((default(), named(client_id)), (true, true)),
            ((default(), default()), (true, true)),
            ((default(), None), (true, false)),
            ((None, named(client_id)), (false, true)),
            ((None, default()), (false, true)),
        ];
        let (limit, (by_user, by_client)) =
            candidates.into_iter().find_map(|(entity, by)| Some((*self.by_entity.get(&entity)?, by)))?;
        let tag = |told: bool, name: &str| if told { name.to_owned() } else { String::new() };
        Some(Applied { user: tag(by_user, user), client_id: tag(by_client, client_id), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(parts: &[(&str, Option<&str>)]) -> QuotaEntity {
        parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect()
    }

    #[test]
    fn the_most_specific_limit_applies() {
        let entities = [
            (entity(&[("user", Some("u")), ("client-id", Some("c"))]), 1.0),
            (entity(&[("user", Some("u")), ("client-id", None)]), 2.0),
            (entity(&[("user", Some("v"))]), 3.0),
            (entity(&[("user", None), ("client-id", Some("c"))]), 4.0),
            (entity(&[("user", None)]), 5.0),
            (entity(&[("client-id", None)]), 6.0),
        ];
        let mut limits = Limits::new(entities.iter().map(|(entity, limit)| (entity, *limit)));
        let limit = |limits: &Limits, user: &str, client: &str| limits.of(user, client).map(|applied| applied.limit);
        assert_eq!(limit(&limits, "u", "c"), Some(1.0));
        assert_eq!(limit(&limits, "u", "d"), Some(2.0));
        assert_eq!(limit(&limits, "v", "c"), Some(3.0));
        assert_eq!(limit(&limits, "w", "c"), Some(4.0));
        assert_eq!(limit(&limits, "w", "d"), Some(5.0));
        limits = Limits::new(entities[5..].iter().map(|(entity, limit)| (entity, *limit)));
        let applied = limits.of("w", "d").expect("the default of all client ids");
        assert_eq!((applied.user.as_str(), applied.client_id.as_str(), applied.limit), ("", "d", 6.0));
    }
}
