//! Which credentials are for which zone, and what is known of the zones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cfcache_app::{domain, scope};
use cfcache_client::{Client, Error, ErrorKind};
use cfcache_model::Plan;
use cfcache_model::endpoint::{GetZone, Zone};
use cfcache_model::id::ZoneId;
use cfcache_model::target::Kind;
use tracing::{info, warn};

use crate::engine::{Bucket, flexible_bucket, global_bucket, url_bucket};
use crate::store::Tokens;

/// An account: credentials, and the limits that its zones share.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name, which its budgets are named after. Workers that share a database have to agree on it.
    pub name: String,
    /// Asks the API with the account's credentials. It should neither pace nor retry: the budgets and the queue do.
    pub client: Client,
    /// The plan of its zones; `None` asks each zone, and takes it for free where it does not tell.
    pub plan: Option<Plan>,
    /// From 0 to 1: how much of the account's limits the queue may use, so that something is left for other tools.
    pub share: f64,
}

/// All accounts, and what was learned of their zones.
#[derive(Debug)]
pub struct Accounts {
    accounts: Vec<Arc<Account>>,
    /// By zone, as id or domain in the form in which two are compared.
    by_zone: HashMap<String, usize>,
    known: Mutex<HashMap<String, KnownZone>>,
}

/// A zone that was looked up.
#[derive(Debug, Clone)]
pub(crate) struct KnownZone {
    pub(crate) id: ZoneId,
    pub(crate) plan: Plan,
}

/// Why a zone could not be looked up.
#[derive(Debug)]
pub(crate) enum ZoneError {
    /// There is no such zone, or none that can be meant: requests for it cannot be sent.
    None(String),
    /// The API did not tell.
    Call(Box<Error>),
}

impl Accounts {
    /// One account for all zones.
    #[must_use]
    pub fn new(default: Account) -> Self {
        Self { accounts: vec![Arc::new(default)], by_zone: HashMap::new(), known: Mutex::default() }
    }

    /// Another account, for these zones: ids or domains.
    #[must_use]
    pub fn with_account(mut self, account: Account, zones: impl IntoIterator<Item = String>) -> Self {
        let index = self.accounts.len();
        self.accounts.push(Arc::new(account));
        self.by_zone.extend(zones.into_iter().map(|zone| (domain::ascii(&zone), index)));
        self
    }

    /// The account that a zone is in: the one that names it, else the default.
    pub(crate) fn of_zone(&self, zone: &str) -> Arc<Account> {
        let index = self.by_zone.get(&domain::ascii(zone)).copied().unwrap_or(0);
        Arc::clone(&self.accounts[index])
    }

    /// What is known of a zone already.
    pub(crate) fn known(&self, zone: &str) -> Option<KnownZone> {
        self.known_zones().get(zone).cloned()
    }

    /// Looks a zone up, and keeps what is found: an id needs no call where the account's plan is set.
    pub(crate) async fn look_up(&self, account: &Account, zone: &str) -> Result<KnownZone, ZoneError> {
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
            (None, None) => match account.client.call(&GetZone::new(&id), &mut ()).await {
                Ok(answer) => answer.result.known_plan(),
                // A token that may purge need not be allowed to read the zone.
                Err(error) if error.failure().is_some_and(|failure| failure.status == 403) => None,
                Err(error) => return Err(ZoneError::Call(Box::new(error))),
            },
        };
        match plan {
            Some(plan) => info!(zone, id = %id, plan = plan.as_str(), "zone found"),
            None => warn!(zone, id = %id, "the zone does not tell its plan: the limits of `free` are used"),
        }
        let known = KnownZone { id, plan: plan.unwrap_or(Plan::Free) };
        self.known_zones().insert(zone.to_owned(), known.clone());
        Ok(known)
    }

    fn known_zones(&self) -> MutexGuard<'_, HashMap<String, KnownZone>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// What a request of so many targets takes from the budgets; everything is `None`.
    pub(crate) fn cost(&self, plan: Plan, kind: Option<Kind>, targets: usize) -> Vec<Tokens> {
        let limits = plan.purge_limits();
        if kind == Some(Kind::Files) {
            let count = u32::try_from(targets).unwrap_or(u32::MAX);
            return vec![self.tokens(&format!("{plan}/urls"), url_bucket(&limits, self.share), count)];
        }
        let requests = flexible_bucket(&limits, self.share);
        vec![self.tokens(&format!("{plan}/requests"), requests, 1), self.call()]
    }

    /// What any other call takes.
    pub(crate) fn call(&self) -> Tokens {
        self.tokens("calls", global_bucket(self.share), 1)
    }

    fn tokens(&self, what: &str, bucket: Bucket, count: u32) -> Tokens {
        let budget = format!("{}/{what}", self.name);
        Tokens { budget, interval: Duration::from_micros(bucket.interval_us), burst: bucket.burst, count }
    }
}

/// The one zone of that domain.
async fn find(client: &Client, zone: &str) -> Result<Zone, ZoneError> {
    let found = scope::zones_named(client, zone, &mut (), |odd| warn!("{odd}")).await;
    let mut found = found.map_err(|error| ZoneError::Call(Box::new(error)))?;
    match (found.pop(), found.len()) {
        (Some(zone), 0) => Ok(zone),
        (None, _) => Err(ZoneError::None("there is no such zone that the credentials may see".to_owned())),
        (Some(_), more) => {
            Err(ZoneError::None(format!("there are {} zones of that name: give the id of one", more + 1)))
        }
    }
}

impl ZoneError {
    /// Whether the credentials were refused: `None` where that is not it, else whether they are unknown as a whole.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Call(error) if error.kind() == ErrorKind::Credentials)
    }
}
