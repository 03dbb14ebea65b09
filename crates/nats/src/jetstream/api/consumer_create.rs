//! `$JS.API.CONSUMER.CREATE.<stream>` (ephemeral, legacy), `…CREATE.<stream>.<consumer>[.<filter>]` and
//! `$JS.API.CONSUMER.DURABLE.CREATE.<stream>.<consumer>` (legacy): makes or changes a consumer.
//! Source: nats-server 2.15, `consumer_create_response`.

use std::sync::Arc;

use duolog_broker::consumers::Action;
use duolog_nats_wire::jetstream::advisory;
use duolog_nats_wire::jetstream::consumer::{ConsumerAction, CreateConsumerRequest};
use duolog_nats_wire::jetstream::error::{
    ApiError, CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH, CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT,
    CONSUMER_DURABLE_NAME_NOT_SET, CONSUMER_EPHEMERAL_WITH_DURABLE_NAME,
    CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED, CONSUMER_NAME_CONTAINS_PATH_SEPARATORS, STREAM_MISMATCH,
    STREAM_NOT_FOUND, STREAM_REPLICAS_NOT_SUPPORTED,
};
use duolog_nats_wire::jetstream::reply::{ConsumerCreateReply, Reply};
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::consumers::convert::{config_from_wire, info_to_wire};
use crate::jetstream::consumers::of_stream;
use crate::jetstream::{JetStream, errors};

type Outcome = (Lsn, Reply<ConsumerCreateReply>);

/// Which of the three subjects it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    LegacyEphemeral,
    Named,
    LegacyDurable,
}

pub(super) fn ephemeral(jetstream: &Arc<JetStream>, request: &Request) -> Outcome {
    answer(jetstream, request, Style::LegacyEphemeral)
}

pub(super) fn named(jetstream: &Arc<JetStream>, request: &Request) -> Outcome {
    answer(jetstream, request, Style::Named)
}

pub(super) fn durable(jetstream: &Arc<JetStream>, request: &Request) -> Outcome {
    answer(jetstream, request, Style::LegacyDurable)
}

fn answer(jetstream: &Arc<JetStream>, request: &Request, style: Style) -> Outcome {
    match create(jetstream, request, style) {
        Ok((after, reply)) => (after, Ok(reply)),
        Err((after, error)) => (after, Err(error)),
    }
}

fn create(
    jetstream: &Arc<JetStream>,
    request: &Request,
    style: Style,
) -> Result<(Lsn, ConsumerCreateReply), (Lsn, ApiError)> {
    let wrong = |error| (Lsn::ZERO, error);
    let mut asked = request.decode(CreateConsumerRequest::decode).map_err(wrong)?;
    let stream_token = if style == Style::LegacyDurable { 3 } else { 2 };
    let stream_name = request.token(stream_token);
    check_names(&mut asked, stream_name, request, style).map_err(wrong)?;
    if asked.config.num_replicas > 1 {
        return Err(wrong(STREAM_REPLICAS_NOT_SUPPORTED.error()));
    }
    let config = config_from_wire(asked.config).map_err(wrong)?;
    let (_, consumers) = of_stream(jetstream, stream_name)
        .ok_or_else(|| (jetstream.streams().changed(), STREAM_NOT_FOUND.error()))?;
    let action = match asked.action {
        ConsumerAction::CreateOrUpdate => Action::CreateOrUpdate,
        ConsumerAction::Create => Action::Create,
        ConsumerAction::Update => Action::Update,
    };
    let created = jetstream
        .consumers
        .create(&consumers, config, action, asked.pedantic)
        .map_err(|error| (consumers.changed(), errors::create_consumer(&error)))?;
    jetstream.interests.follow(jetstream, &created.consumer);
    if created.did_create {
        let name = created.consumer.name();
        jetstream.advise(stream_name, advisory::Event::Consumer(name, advisory::Action::Create));
    }
    let info = jetstream.consumers.info(&created.consumer);
    let (info, lsn) = info.ok_or_else(|| (consumers.changed(), STREAM_NOT_FOUND.error()))?;
    let info =
        info_to_wire(stream_name, &created.consumer, &info, Some(&jetstream.identity), jetstream.now());
    Ok((created.lsn.max(lsn), ConsumerCreateReply { info: Some(info) }))
}

/// The names in the subject and in the request have to agree; the subject's is taken over.
fn check_names(
    asked: &mut CreateConsumerRequest,
    stream_name: &str,
    request: &Request,
    style: Style,
) -> Result<(), ApiError> {
    let (name, filter) = match style {
        Style::LegacyEphemeral => (asked.config.name.clone(), ""),
        Style::Named => (request.token(3).to_owned(), request.behind(4)),
        Style::LegacyDurable => (request.token(4).to_owned(), ""),
    };
    if stream_name != asked.stream_name {
        return Err(STREAM_MISMATCH.error());
    }
    if name.contains(['/', '\\']) {
        return Err(CONSUMER_NAME_CONTAINS_PATH_SEPARATORS.error());
    }
    let durable_name = &asked.config.durable_name;
    match style {
        Style::LegacyEphemeral if !durable_name.is_empty() => {
            return Err(CONSUMER_EPHEMERAL_WITH_DURABLE_NAME.error());
        }
        Style::LegacyEphemeral => {}
        Style::LegacyDurable if durable_name.is_empty() => return Err(CONSUMER_DURABLE_NAME_NOT_SET.error()),
        Style::LegacyDurable | Style::Named => {
            if !durable_name.is_empty() && name != *durable_name {
                return Err(CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT.error());
            }
            asked.config.name = name;
        }
    }
    if !filter.is_empty() && !asked.config.filter_subjects.is_empty() {
        return Err(CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED.error());
    }
    if !filter.is_empty() && asked.config.filter_subject != filter {
        return Err(CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH.error());
    }
    Ok(())
}
