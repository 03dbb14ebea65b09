//! A group to its record, and back after a restart.

use std::sync::Arc;

use super::members::{Member, Timeouts};
use super::{ClassicGroup, Context, State};
use crate::durable::{GroupRecord, MemberRecord, Record};
use crate::event::Protocol;

impl ClassicGroup {
    /// What is to be kept of the group. Of each member's protocols only the generation's is, as in Kafka.
    pub(super) fn to_record(&self) -> GroupRecord {
        let members = self
            .members
            .iter()
            .map(|member| MemberRecord {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout: member.timeouts.rebalance,
                session_timeout: member.timeouts.session,
                subscription: member.metadata(self.protocol_name.as_deref()),
                assignment: member.assignment.clone(),
            })
            .collect();
        GroupRecord {
            group: self.id.clone(),
            generation: self.generation,
            state_since: self.state_since,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.members.leader().cloned(),
            members,
        }
    }

    /// Takes the group back to what a record says. Its members are back once [`ClassicGroup::loaded`] has started
    /// their sessions.
    pub(crate) fn restore(&mut self, record: &Arc<GroupRecord>) {
        let heard = self.generation_heard.max(record.generation);
        *self = ClassicGroup::new(self.id.clone(), record.state_since);
        self.generation_heard = heard;
        self.generation = record.generation;
        self.protocol_type.clone_from(&record.protocol_type);
        self.protocol_name.clone_from(&record.protocol_name);
        for member in &record.members {
            if self.members.contains(&member.member_id) {
                continue; // no record made here names a member twice
            }
            let protocol = record
                .protocol_name
                .iter()
                .map(|name| Protocol { name: name.clone(), metadata: member.subscription.clone() });
            self.members.add(Member {
                id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                protocols: protocol.collect(),
                timeouts: Timeouts { session: member.session_timeout, rebalance: member.rebalance_timeout },
                assignment: member.assignment.clone(),
                is_new: false,
            });
        }
        if let Some(leader) = &record.leader {
            self.members.set_leader(leader);
        }
        if !self.members.is_empty() {
            self.state = State::Stable;
        }
        self.learn_subscription();
        self.durable = Some(Arc::clone(record));
    }

    /// A generation was about to be told to members before the restart: its number is used up.
    pub(crate) fn restore_generation(&mut self, generation: i32) {
        self.generation_heard = self.generation_heard.max(generation);
    }

    /// The restart is over: every member has a whole session to report in.
    pub(crate) fn loaded(&mut self, context: &mut Context<'_>) {
        for id in self.members.ids() {
            self.restart_session(&id, context);
        }
        // A rebalance was under way: members have heard of a generation that is lost, so that all must come again.
        // (Kafka goes back to the generation before and lets it go on.)
        let unfinished = !self.members.is_empty() && self.generation_heard > self.generation;
        // The limit was lowered: a rebalance lets members commit before the last to come back is refused.
        let too_large = self.members.len() > context.config.group_size_max;
        if unfinished || too_large {
            self.prepare_rebalance(context);
        }
    }

    /// The records that bring back what is durable of the group.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        let Some(durable) = &self.durable else { return Vec::new() };
        let mut records = vec![Record::Group(Arc::clone(durable))];
        if self.generation_heard > durable.generation {
            let generation = self.generation_heard;
            records.push(Record::Generation { group: self.id.clone(), generation });
        }
        records
    }
}
