//! The cluster as the tools see it: who leads what, and a connection to each of them.
//!
//! Promises: a request goes to the broker whose business it is (leader, controller, coordinator),
//! so that the tools serve a real Kafka cluster as well as one ottla. Kafka's transient errors on a
//! fresh topic or group are waited out for a bounded time.
//! Absent: a background refresh; a tool that runs long asks again when it is told that it is wrong.

use super::Failure;
use super::args::{BootstrapArgs, last};
use super::connection::{CallError, Connection};
use crate::client::Request;
use crate::client::messages::metadata::{
    Broker, FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicMetadata,
};
use crate::client::messages::offsets::{ListOffsetsRequest, ListedOffset};
use crate::client::messages::{ByTopic, TopicResult};
use crate::limits::{CLI_RETRIES_MAX, CLI_RETRY_PAUSE_MS};
use crate::wire::ErrorCode;
use std::collections::HashMap;
use std::time::Duration;

/// A topic and a partition of it.
pub type Partition = (String, i32);

/// Topic, partition, and what is asked about it.
pub type Entry<'a, P> = (&'a str, i32, P);

/// The connections of one tool.
#[derive(Debug)]
pub struct Cluster {
    addresses: Vec<String>,
    client_id: String,
    /// How long a broker may take to answer.
    pub timeout: Duration,
    interruptible: bool,
    first: Option<Connection>,
    nodes: HashMap<i32, Connection>,
    brokers: HashMap<i32, Broker>,
    controller_id: i32,
}

/// Waits a moment before the next try.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(CLI_RETRY_PAUSE_MS));
}

impl Cluster {
    /// Prepares to talk to the brokers that the arguments name. Nothing is dialled yet.
    pub fn new(args: &BootstrapArgs, client_id: &str) -> Result<Cluster, Failure> {
        let properties = args.properties()?;
        let client_id = last(&properties, "client.id").unwrap_or(client_id).to_owned();
        Ok(Cluster {
            addresses: args.addresses(),
            client_id,
            timeout: Duration::from_millis(u64::from(args.request_timeout_ms)),
            interruptible: false,
            first: None,
            nodes: HashMap::new(),
            brokers: HashMap::new(),
            controller_id: -1,
        })
    }

    /// Lets a signal end waits.
    pub fn interruptible(mut self, interruptible: bool) -> Self {
        self.interruptible = interruptible;
        self
    }

    /// Sends another client id from now on.
    pub fn with_client_id(mut self, client_id: Option<&str>) -> Self {
        if let Some(client_id) = client_id {
            client_id.clone_into(&mut self.client_id);
        }
        self
    }

    /// The same cluster with connections of its own.
    pub fn another(&self) -> Cluster {
        Cluster {
            addresses: self.addresses.clone(),
            client_id: self.client_id.clone(),
            timeout: self.timeout,
            interruptible: self.interruptible,
            first: None,
            nodes: HashMap::new(),
            brokers: HashMap::new(),
            controller_id: -1,
        }
    }

    fn open(&self, address: &str) -> Result<Connection, CallError> {
        let connection = Connection::open(address, &self.client_id, self.timeout)?;
        Ok(if self.interruptible { connection.interruptible() } else { connection })
    }

    /// A connection to any of the brokers named.
    pub fn any(&mut self) -> Result<&mut Connection, CallError> {
        if self.first.is_none() {
            let mut result = Err(CallError::Hopeless("no broker is named".to_owned()));
            for address in &self.addresses {
                result = self.open(address);
                if result.is_ok() {
                    break;
                }
            }
            self.first = Some(result?);
        }
        match &mut self.first {
            Some(connection) => Ok(connection),
            None => Err(CallError::Hopeless("no broker is named".to_owned())),
        }
    }

    /// Forgets all connections: one of them broke.
    pub fn reset(&mut self) {
        self.first = None;
        self.nodes.clear();
    }

    /// Asks any broker.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, CallError> {
        self.any()?.call(request)
    }

    /// Asks about topics, or about all of them.
    pub fn metadata(
        &mut self,
        topics: Option<Vec<&str>>,
        allow_auto_topic_creation: bool,
    ) -> Result<MetadataResponse, CallError> {
        let response = self.call(&MetadataRequest { topics, allow_auto_topic_creation })?;
        self.brokers = response.brokers.iter().map(|b| (b.node_id, b.clone())).collect();
        self.controller_id = response.controller_id;
        Ok(response)
    }

    /// A topic whose partitions have leaders; a topic that is just being made is waited for.
    pub fn topic(&mut self, name: &str, auto_create: bool) -> Result<TopicMetadata, Failure> {
        let mut tries = 0;
        loop {
            let found = self.metadata(Some(vec![name]), auto_create)?.topics.into_iter().next();
            let code = found.as_ref().map_or(ErrorCode::UnknownTopicOrPartition, |topic| {
                let missing = topic.partitions.iter().any(|p| p.leader_id < 0);
                if missing { ErrorCode::LeaderNotAvailable } else { topic.error_code }
            });
            let waiting = code == ErrorCode::LeaderNotAvailable
                || (auto_create && code == ErrorCode::UnknownTopicOrPartition);
            tries += 1;
            match (found, code) {
                (Some(topic), ErrorCode::None) => return Ok(topic),
                _ if waiting && tries < CLI_RETRIES_MAX => pause(),
                (_, ErrorCode::UnknownTopicOrPartition) => {
                    return Err(Failure::new(format!(
                        "Topic '{name}' does not exist; \
                         `ottla topics --create --topic {name}` makes it."
                    )));
                }
                (_, code) => return Err(Failure::new(format!("Topic '{name}': {code}"))),
            }
        }
    }

    /// The connection to a node.
    pub fn node(&mut self, node_id: i32) -> Result<&mut Connection, CallError> {
        if !self.nodes.contains_key(&node_id) {
            if !self.brokers.contains_key(&node_id) {
                self.metadata(Some(Vec::new()), false)?;
            }
            let Some(broker) = self.brokers.get(&node_id) else {
                return Err(CallError::Broken(format!("broker {node_id} is not there")));
            };
            let address = match broker.host.contains(':') {
                true => format!("[{}]:{}", broker.host, broker.port),
                false => format!("{}:{}", broker.host, broker.port),
            };
            let connection = self.open(&address).map_err(|error| match error {
                CallError::Broken(message) if !self.addresses.contains(&address) => {
                    CallError::Broken(format!(
                        "{message} (the cluster says that broker {node_id} is there; \
                         see its advertised.listeners)"
                    ))
                }
                error => error,
            })?;
            self.nodes.insert(node_id, connection);
        }
        let gone = || CallError::Broken(format!("broker {node_id} is not there"));
        self.nodes.get_mut(&node_id).ok_or_else(gone)
    }

    /// Asks the controller; clusters with ZooKeeper know no other way (KIP-590 came with 2.8).
    pub fn call_controller<R: Request>(&mut self, request: &R) -> Result<R::Response, CallError> {
        if self.brokers.is_empty() {
            self.metadata(Some(Vec::new()), false)?;
        }
        match self.controller_id {
            id if self.brokers.contains_key(&id) => self.node(id)?.call(request),
            _ => self.call(request),
        }
    }

    /// The broker that coordinates a group.
    pub fn coordinator(&mut self, group_id: &str) -> Result<Broker, Failure> {
        let mut tries = 0;
        loop {
            let response = self.call(&FindCoordinatorRequest { group_id })?;
            tries += 1;
            match response.error_code {
                ErrorCode::None => {
                    let broker = response.coordinator;
                    self.brokers.insert(broker.node_id, broker.clone());
                    return Ok(broker);
                }
                ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress
                    if tries < CLI_RETRIES_MAX =>
                {
                    pause();
                }
                code => {
                    let message = response.error_message.unwrap_or_else(|| code.to_string());
                    return Err(Failure::new(format!("Group '{group_id}': {message}")));
                }
            }
        }
    }

    /// Asks a group's coordinator.
    pub fn call_coordinator<R: Request>(
        &mut self,
        group_id: &str,
        request: &R,
    ) -> Result<R::Response, Failure> {
        let node_id = self.coordinator(group_id)?.node_id;
        Ok(self.node(node_id)?.call(request)?)
    }

    /// The leader of each partition of some topics.
    pub fn leaders(&mut self, topics: Vec<&str>) -> Result<HashMap<Partition, i32>, Failure> {
        let response = self.metadata(Some(topics), false)?;
        let leaders = response.topics.iter().flat_map(|topic| {
            let leader = |p: &crate::client::messages::metadata::PartitionMetadata| {
                ((topic.name.clone(), p.partition_index), p.leader_id)
            };
            topic.partitions.iter().map(leader).collect::<Vec<_>>()
        });
        Ok(leaders.collect())
    }

    /// Sends the entries of a request to the leaders of their partitions and gathers the answers.
    /// Partitions without a leader are left out.
    pub fn call_leaders<'a, P: Clone, R: Request>(
        &mut self,
        entries: &[Entry<'a, P>],
        request: impl Fn(&[Entry<'a, P>]) -> R,
    ) -> Result<Vec<R::Response>, Failure> {
        let mut names: Vec<&str> = entries.iter().map(|(name, _, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        let leaders = self.leaders(names)?;
        let mut by_node: Vec<(i32, Vec<Entry<'a, P>>)> = Vec::new();
        for entry in entries {
            let leader = leaders.get(&(entry.0.to_owned(), entry.1)).copied().unwrap_or(-1);
            match by_node.iter_mut().find(|(node, _)| *node == leader) {
                _ if leader < 0 => {}
                Some((_, list)) => list.push(entry.clone()),
                None => by_node.push((leader, vec![entry.clone()])),
            }
        }
        let mut answers = Vec::new();
        for (node, list) in by_node {
            answers.push(self.node(node)?.call(&request(&list))?);
        }
        Ok(answers)
    }

    /// Offsets by time of some partitions, in the order asked for where there is an answer.
    pub fn list_offsets(
        &mut self,
        entries: &[(&str, i32, i64)],
    ) -> Result<Vec<(String, ListedOffset)>, Failure> {
        let answers: Vec<Vec<TopicResult<ListedOffset>>> = self.call_leaders(entries, |list| {
            let topics = list.iter().map(|(name, index, time)| (*name, (*index, *time)));
            ListOffsetsRequest { isolation_level: 0, topics: ByTopic::group(topics) }
        })?;
        let listed: HashMap<Partition, ListedOffset> = answers
            .into_iter()
            .flatten()
            .flat_map(|topic| {
                let name = topic.name;
                topic.partitions.into_iter().map(move |p| ((name.clone(), p.partition_index), p))
            })
            .collect();
        Ok(entries
            .iter()
            .filter_map(|(name, index, _)| {
                let found = listed.get(&((*name).to_owned(), *index))?;
                Some(((*name).to_owned(), *found))
            })
            .collect())
    }
}
