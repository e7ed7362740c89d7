//! A map whose clones are cheap and share what did not change: 256 shards, copied when they are written.
//! With 10,000 entries a change to one copies about 40 of them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

const SHARDS: usize = 256;

type Shard<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// A map to clone and share.
#[derive(Debug, Clone)]
pub struct CowMap<K, V> {
    /// Empty until the first entry: most maps of a small cluster never get one.
    shards: Vec<Arc<Shard<K, V>>>,
    len: usize,
}

impl<K, V> Default for CowMap<K, V> {
    fn default() -> Self {
        Self { shards: Vec::new(), len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> CowMap<K, V> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards.get(shard_of(key))?.get(key)
    }

    /// Whether a key has a value.
    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Sets the value of a key and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.shards.is_empty() {
            let empty = Arc::new(Shard::default());
            self.shards = vec![empty; SHARDS];
        }
        let before = Arc::make_mut(&mut self.shards[shard_of(&key)]).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Removes a key and returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.contains_key(key) {
            return None;
        }
        let removed = Arc::make_mut(&mut self.shards[shard_of(key)]).remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All entries in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// All values in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Hash + Eq + Clone, V: Clone + PartialEq> PartialEq for CowMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

fn shard_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    // The upper bits: the shard's own table uses the lower ones.
    (BuildHasherDefault::<DefaultHasher>::default().hash_one(key) >> 48) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut map = CowMap::default();
        (0..1000).for_each(|key| assert_eq!(map.insert(key, key), None));
        let before = map.clone();
        assert_eq!(map.remove(&7), Some(7));
        assert_eq!(map.insert(8, 80), Some(8));
        assert_eq!((map.len(), before.len()), (999, 1000));
        assert_eq!((before.get(&7), before.get(&8), map.get(&7)), (Some(&7), Some(&8), None));
        assert_eq!(before.iter().count(), 1000);
        assert!(map != before);
    }
}
