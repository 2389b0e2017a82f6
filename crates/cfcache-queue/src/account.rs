//! Maps zones to accounts, and looks up the id and plan of each zone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cfcache_app::{domain, scope};
use cfcache_client::{Client, Error, ErrorKind};
use cfcache_model::Plan;
use cfcache_model::endpoint::{ApiRequest, Zone};
use cfcache_model::id::ZoneId;
use cfcache_model::target::Kind;
use tracing::{info, warn};

use crate::engine::{BudgetBucket, flexible_bucket, global_bucket, url_bucket};
use crate::store::Tokens;

/// An account: credentials, and the limits that its zones share.
#[derive(Debug, Clone)]
pub struct Account {
    /// The name of the account, which is part of the names of its budgets. Workers that share a database must use the
    /// same name.
    pub name: String,
    /// The API client with the account's credentials. It should not limit its rate or retry: the budgets and the queue
    /// do both.
    pub client: Client,
    /// The plan of its zones. `None` asks the API for the plan of each zone; a zone without a known plan gets the
    /// limits of the free plan.
    pub plan: Option<Plan>,
    /// The part of the account's limits that the queue may use, from 0 to 1. The rest is left to other tools.
    pub share: f64,
}

/// All accounts, and the zones that have been looked up.
#[derive(Debug)]
pub struct Accounts {
    accounts: Vec<Arc<Account>>,
    /// The index of the account of each zone. Keys are ids, and domains in lower-case ASCII form.
    by_zone: HashMap<String, usize>,
    known: Mutex<HashMap<String, KnownZone>>,
}

/// The result of looking up a zone.
#[derive(Debug, Clone)]
pub(crate) struct KnownZone {
    pub(crate) id: ZoneId,
    pub(crate) plan: Plan,
}

/// Why a zone could not be looked up.
#[derive(Debug)]
pub(crate) enum ZoneError {
    /// The zone does not exist, or its name is ambiguous. Requests for it cannot be sent.
    None(String),
    /// The API call failed.
    Call(Box<Error>),
}

impl Accounts {
    /// Creates one account for all zones.
    #[must_use]
    pub fn new(default: Account) -> Self {
        Self { accounts: vec![Arc::new(default)], by_zone: HashMap::new(), known: Mutex::default() }
    }

    /// Adds an account for these zones, which are ids or domains.
    #[must_use]
    pub fn with_account(mut self, account: Account, zones: impl IntoIterator<Item = String>) -> Self {
        let index = self.accounts.len();
        self.accounts.push(Arc::new(account));
        self.by_zone.extend(zones.into_iter().map(|zone| (domain::ascii(&zone), index)));
        self
    }

    /// Returns the account of a zone: the one that names the zone, otherwise the default account.
    pub(crate) fn of_zone(&self, zone: &str) -> Arc<Account> {
        let index = self.by_zone.get(&domain::ascii(zone)).copied().unwrap_or(0);
        Arc::clone(&self.accounts[index])
    }

    /// Returns the zone if it has been looked up before, or if its id and plan are known without that.
    pub(crate) fn known(&self, account: &Account, zone: &str) -> Option<KnownZone> {
        let given = || Some(KnownZone { id: ZoneId::parse(zone).ok()?, plan: account.plan? });
        self.known_zones().get(zone).cloned().or_else(given)
    }

    /// Looks up a zone and remembers the result.
    pub(crate) async fn look_up(&self, account: &Account, zone: &str) -> Result<(), ZoneError> {
        let (id, found) = match ZoneId::parse(zone) {
            Ok(id) => (id, None),
            Err(_) => {
                let found = find(&account.client, zone).await?;
                let id = ZoneId::parse(&found.id).map_err(|invalid| ZoneError::None(invalid.to_string()))?;
                (id, Some(found))
            }
        };
        let plan = match (account.plan, found) {
            (Some(plan), _) => Some(plan),
            (None, Some(found)) => found.known_plan(),
            (None, None) => match account.client.call(&ApiRequest::zone(&id), &mut ()).await {
                Ok(answer) => answer.result.known_plan(),
                // A token that may purge is not always allowed to read the zone.
                Err(error) if error.failure().is_some_and(|failure| failure.status == 403) => None,
                Err(error) => return Err(ZoneError::Call(Box::new(error))),
            },
        };
        match plan {
            Some(plan) => info!(zone, id = %id, plan = plan.as_str(), "zone found"),
            None => {
                warn!(zone, id = %id, "the plan of the zone is unknown: using the limits of the free plan")
            }
        }
        let known = KnownZone { id, plan: plan.unwrap_or(Plan::Free) };
        self.known_zones().insert(zone.to_owned(), known);
        Ok(())
    }

    fn known_zones(&self) -> MutexGuard<'_, HashMap<String, KnownZone>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Returns the tokens that a request with this many targets takes from the budgets. A `kind` of `None` is
    /// everything.
    pub(crate) fn cost(&self, plan: Plan, kind: Option<Kind>, targets: usize) -> Vec<Tokens> {
        let limits = plan.purge_limits();
        if kind == Some(Kind::Files) {
            let count = u32::try_from(targets).unwrap_or(u32::MAX);
            return vec![self.tokens(&format!("{plan}/urls"), url_bucket(&limits, self.share), count)];
        }
        let requests = flexible_bucket(&limits, self.share);
        vec![self.tokens(&format!("{plan}/requests"), requests, 1), self.call()]
    }

    /// Returns the tokens that any other API call takes.
    pub(crate) fn call(&self) -> Tokens {
        self.tokens("calls", global_bucket(self.share), 1)
    }

    fn tokens(&self, what: &str, bucket: BudgetBucket, count: u32) -> Tokens {
        let budget = format!("{}/{what}", self.name);
        Tokens { budget, interval: Duration::from_micros(bucket.interval_us), burst: bucket.burst, count }
    }
}

/// Looks up the only zone with that domain.
async fn find(client: &Client, zone: &str) -> Result<Zone, ZoneError> {
    let found = scope::zones_named(client, zone, &mut (), |warning| warn!("{warning}")).await;
    let mut found = found.map_err(|error| ZoneError::Call(Box::new(error)))?;
    match (found.pop(), found.len()) {
        (Some(zone), 0) => Ok(zone),
        (None, _) => {
            let message = "the credentials give access to no such zone: a zone's domain needs the permission \"Zone Read\", \
                           and its id does not";
            Err(ZoneError::None(message.to_owned()))
        }
        (Some(_), more) => {
            Err(ZoneError::None(format!("there are {} zones with that name: use the id of one", more + 1)))
        }
    }
}

impl ZoneError {
    /// Returns whether the API refused the credentials.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Call(error) if error.kind() == ErrorKind::Credentials)
    }
}
