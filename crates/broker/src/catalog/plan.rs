//! What a request for a topic or for more partitions comes to: counts, placement, configs. Decides only.

use super::names::{check_name, collision_key};
use super::{Catalog, CreatePartitionsError, CreateTopicError, NewPartitions, NewTopic, Topic};
use crate::config::{TopicConfig, overrides_of};

/// What a new topic will be.
#[derive(Debug)]
pub(super) struct TopicPlan {
    pub(super) partitions: u32,
    pub(super) replication_factor: i16,
    pub(super) config: TopicConfig,
}

impl Catalog {
    /// How many partitions `topic` could have at most, now.
    fn partitions_limit(&self, present: usize) -> u32 {
        let free = (self.settings.max_partitions as usize).saturating_sub(self.partition_count());
        let limit = present.saturating_add(free);
        u32::try_from(limit).unwrap_or(u32::MAX).min(self.settings.max_partitions_per_topic)
    }

    pub(super) fn plan_topic(&self, new: &NewTopic) -> Result<TopicPlan, CreateTopicError> {
        check_name(&new.name)?;
        {
            let index = self.index.read();
            if index.by_name.contains_key(new.name.as_str()) {
                return Err(CreateTopicError::Exists { name: new.name.clone() });
            }
            if let Some(existing) = index.collisions.get(&collision_key(&new.name)) {
                return Err(CreateTopicError::Collides {
                    name: new.name.clone(),
                    existing: existing.clone(),
                });
            }
        }
        let (requested, replication_factor) = if new.assignments.is_empty() {
            let partitions = new.partitions.map_or(i64::from(self.settings.default_partitions), i64::from);
            (partitions, new.replication_factor.unwrap_or(self.settings.default_replication_factor))
        } else {
            if new.partitions.is_some() || new.replication_factor.is_some() {
                return Err(CreateTopicError::AssignmentAndCount);
            }
            for (expected, (partition, brokers)) in (0i32..).zip(&new.assignments) {
                let problem = if *partition != expected {
                    Some("partitions must be numbered from 0 without gaps")
                } else {
                    self.placement_problem(brokers)
                };
                if let Some(problem) = problem {
                    return Err(CreateTopicError::InvalidAssignment { partition: *partition, problem });
                }
            }
            (new.assignments.len() as i64, 1)
        };
        if replication_factor < 1 {
            return Err(CreateTopicError::InvalidReplicationFactor { requested: replication_factor });
        }
        let limit = self.partitions_limit(0);
        let partitions = u32::try_from(requested)
            .ok()
            .filter(|partitions| (1..=limit).contains(partitions))
            .ok_or(CreateTopicError::InvalidPartitions { requested, limit })?;
        let config = TopicConfig::new(overrides_of(&new.configs)?, &self.defaults)?;
        config.check_message_bytes(self.settings.message_bytes_max, &self.defaults)?;
        self.check_root(&new.name, &config)?;
        Ok(TopicPlan { partitions, replication_factor, config })
    }

    /// How many partitions are to be added to `topic`.
    pub(super) fn plan_partitions(
        &self,
        topic: &Topic,
        new: &NewPartitions,
    ) -> Result<u32, CreatePartitionsError> {
        let current = topic.partitions().len() as u32;
        let limit = self.partitions_limit(topic.partitions().len());
        let added = u32::try_from(new.total)
            .ok()
            .filter(|total| *total > current && *total <= limit)
            .map(|total| total - current)
            .ok_or(CreatePartitionsError::InvalidPartitions { current, requested: new.total, limit })?;
        if let Some(assignments) = &new.assignments {
            if assignments.len() != added as usize {
                return Err(CreatePartitionsError::InvalidAssignment {
                    partition: new.total,
                    problem: "there must be one assignment for each new partition",
                });
            }
            for (brokers, partition) in assignments.iter().zip(current..) {
                if let Some(problem) = self.placement_problem(brokers) {
                    let partition = i32::try_from(partition).unwrap_or(i32::MAX);
                    return Err(CreatePartitionsError::InvalidAssignment { partition, problem });
                }
            }
        }
        Ok(added)
    }

    /// What is wrong with the brokers of one partition: there is one broker.
    fn placement_problem(&self, brokers: &[i32]) -> Option<&'static str> {
        match brokers {
            [] => Some("it names no broker"),
            [only] if *only == self.settings.node_id => None,
            _ => Some("it names a broker that does not exist, or one twice"),
        }
    }
}
