//! A queue of requests with their due times and hosts. It enforces the rate limits of everything that this crate sends.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::pace::{Limits, Pace, Reaction};

/// The maximum number of requests in flight over all hosts. More would only use more sockets.
const MAX_IN_FLIGHT: usize = 64;

/// The longest wait that a host may demand of a probe or of warming. The client of the API waits as long by default.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(600);

/// Why a request was not sent after a host had demanded a longer wait than that.
pub(crate) const TOO_LONG_A_WAIT: &str =
    "not requested, because the host demands a longer wait (`Retry-After`)";

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueueStep<T> {
    /// Send this request.
    Start(QueueTicket, T),
    /// Give this request up: its host demanded a wait that is too long.
    GiveUp(T),
    /// Wait until that time, unless a request ends first.
    Wait(Duration),
    /// Wait until a request in flight ends.
    WaitForEnd,
    /// The queue is empty.
    Empty,
}

/// A request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueTicket {
    host: usize,
    started: Duration,
}

impl QueueTicket {
    /// Returns when it was sent.
    #[must_use]
    pub const fn started(self) -> Duration {
        self.started
    }
}

/// Tasks for hosts, each with its own rate limit.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    limits: Limits,
    max_wait: Duration,
    names: HashMap<String, usize>,
    hosts: Vec<HostQueue<T>>,
    /// The hosts with due tasks, in turn.
    turns: VecDeque<usize>,
    /// The tasks that are not due yet, by time and then by order of arrival.
    later: BTreeMap<(Duration, u64), (usize, T)>,
    order: u64,
    in_flight: usize,
}

#[derive(Debug)]
struct HostQueue<T> {
    pace: Pace,
    due: VecDeque<T>,
}

impl<T> Queue<T> {
    /// Creates a queue that gives requests up if a host demands to wait longer than `max_wait`.
    pub(crate) fn new(limits: Limits, max_wait: Duration) -> Self {
        Self {
            limits,
            max_wait,
            names: HashMap::new(),
            hosts: Vec::new(),
            turns: VecDeque::new(),
            later: BTreeMap::new(),
            order: 0,
            in_flight: 0,
        }
    }

    /// Returns the index of a host, identified by `host:port` or another name.
    pub(crate) fn host(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let number = self.hosts.len();
        self.names.insert(name.to_owned(), number);
        self.hosts.push(HostQueue { pace: Pace::new(self.limits), due: VecDeque::new() });
        number
    }

    /// Adds a task for a host of [`Queue::host`], not to be sent before `due`.
    pub(crate) fn push(&mut self, host: usize, task: T, due: Duration) {
        self.later.insert((due, self.order), (host, task));
        self.order += 1;
    }

    /// Returns the number of waiting tasks.
    pub(crate) fn len(&self) -> usize {
        self.later.len() + self.turns.iter().map(|host| self.hosts[*host].due.len()).sum::<usize>()
    }

    /// Returns until when a host demanded to send no requests.
    pub(crate) fn blocked_until(&self, host: usize) -> Duration {
        self.hosts[host].pace.blocked_until()
    }

    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn next(&mut self, now: Duration) -> QueueStep<T> {
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            let (number, task) = entry.remove();
            let host = &mut self.hosts[number];
            if host.due.is_empty() {
                self.turns.push_back(number);
            }
            host.due.push_back(task);
        }
        if self.turns.is_empty() && self.later.is_empty() {
            return QueueStep::Empty;
        }
        if self.in_flight >= MAX_IN_FLIGHT {
            return QueueStep::WaitForEnd;
        }
        let mut soonest = self.later.first_key_value().map(|((due, _), _)| *due);
        for _ in 0..self.turns.len() {
            let Some(number) = self.turns.pop_front() else { break };
            let host = &mut self.hosts[number];
            if host.pace.blocked_until() > now.saturating_add(self.max_wait)
                && let Some(task) = host.due.pop_front()
            {
                if !host.due.is_empty() {
                    self.turns.push_front(number);
                }
                return QueueStep::GiveUp(task);
            }
            match host.pace.ready_at(now) {
                Some(at) if at <= now => {
                    let Some(task) = host.due.pop_front() else { continue };
                    host.pace.start(now);
                    self.in_flight += 1;
                    if !host.due.is_empty() {
                        self.turns.push_back(number);
                    }
                    return QueueStep::Start(QueueTicket { host: number, started: now }, task);
                }
                Some(at) => soonest = Some(soonest.map_or(at, |known| known.min(at))),
                None => {}
            }
            self.turns.push_back(number);
        }
        soonest.map_or(QueueStep::WaitForEnd, QueueStep::Wait)
    }

    /// Records the end of a request.
    pub(crate) fn end(&mut self, now: Duration, ticket: QueueTicket, reaction: Reaction) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.hosts[ticket.host].pace.end(now, ticket.started, reaction);
    }

    /// Removes all waiting tasks.
    pub(crate) fn clear(&mut self) -> Vec<T> {
        let mut tasks = Vec::new();
        for number in core::mem::take(&mut self.turns) {
            tasks.extend(core::mem::take(&mut self.hosts[number].due));
        }
        tasks.extend(core::mem::take(&mut self.later).into_values().map(|(_, task)| task));
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn start<T: core::fmt::Debug>(queue: &mut Queue<T>, now: Duration) -> (QueueTicket, T) {
        match queue.next(now) {
            QueueStep::Start(ticket, task) => (ticket, task),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hosts_do_not_delay_each_other() {
        let mut queue = Queue::new(Limits::new(1, Some(10.0)), MAX_WAIT);
        let (a, b) = (queue.host("a.test"), queue.host("b.test"));
        for task in 0..2 {
            queue.push(a, ("a", task), Duration::ZERO);
        }
        queue.push(b, ("b", 0), Duration::ZERO);
        let (first, task) = start(&mut queue, ms(0));
        assert_eq!(task, ("a", 0));
        assert_eq!(start(&mut queue, ms(0)).1, ("b", 0));
        assert_eq!(queue.next(ms(0)), QueueStep::WaitForEnd);
        queue.end(ms(30), first, Reaction::Fine(ms(30)));
        assert_eq!(queue.next(ms(30)), QueueStep::Wait(ms(102)));
        assert_eq!(start(&mut queue, ms(102)).1, ("a", 1));
        assert_eq!(queue.next(ms(102)), QueueStep::Empty);
    }

    #[test]
    fn a_task_waits_until_it_is_due() {
        let mut queue = Queue::new(Limits::PROBE, MAX_WAIT);
        let host = queue.host("a.test");
        queue.push(host, "late", ms(500));
        queue.push(host, "early", ms(200));
        assert_eq!(queue.next(ms(0)), QueueStep::Wait(ms(200)));
        assert_eq!(queue.len(), 2);
        assert_eq!(start(&mut queue, ms(600)).1, "early");
        assert_eq!(queue.clear(), ["late"]);
        assert_eq!(queue.next(ms(600)), QueueStep::Empty);
    }

    #[test]
    fn an_overloaded_host_does_not_slow_down_others() {
        let mut queue = Queue::new(Limits::WARM, MAX_WAIT);
        let (a, b) = (queue.host("a.test"), queue.host("b.test"));
        queue.push(a, 1, ms(0));
        let (ticket, _) = start(&mut queue, ms(0));
        queue.end(ms(10), ticket, Reaction::Overloaded(Some(ms(60_000))));
        queue.push(a, 2, ms(20));
        queue.push(b, 3, ms(20));
        assert_eq!(start(&mut queue, ms(400)).1, 3);
        assert_eq!(queue.next(ms(400)), QueueStep::Wait(ms(60_010)));
    }

    #[test]
    fn gives_up_the_tasks_of_a_host_that_demands_too_long_a_wait() {
        for wait in [Duration::from_secs(601), Duration::MAX] {
            let mut queue = Queue::new(Limits::WARM, MAX_WAIT);
            let (a, b) = (queue.host("a.test"), queue.host("b.test"));
            queue.push(a, 1, ms(0));
            let (ticket, _) = start(&mut queue, ms(0));
            queue.end(ms(10), ticket, Reaction::Overloaded(Some(wait)));
            for (host, task) in [(a, 2), (a, 3), (b, 4)] {
                queue.push(host, task, ms(10));
            }
            assert_eq!(queue.next(ms(10)), QueueStep::GiveUp(2));
            assert_eq!(queue.next(ms(10)), QueueStep::GiveUp(3));
            assert_eq!(start(&mut queue, ms(10)).1, 4);
            assert_eq!(queue.next(ms(10)), QueueStep::Empty);
        }
    }
}
