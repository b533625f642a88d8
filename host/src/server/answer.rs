//! What is answered to commands.

use protocol::service::{ServiceReply, ServiceRequest};
use protocol::{Refusal, RefusalKind, VmName};

use crate::engine::{Engine, no_such_vm};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// User id of the connection.
    pub uid: u32,
    /// Whether it is root or the service's own user.
    pub is_operator: bool,
}

impl Caller {
    fn may_see(self, uid: u32) -> bool {
        self.is_operator || uid == self.uid
    }

    /// Whether the caller may see this VM. Of one that it may not see it learns nothing, not even that it is there.
    fn sees(self, engine: &Engine, vm: &VmName) -> Result<(), Refusal> {
        match engine.owner(vm) {
            Some(uid) if !self.may_see(uid) => Err(no_such_vm(vm)),
            _ => Ok(()),
        }
    }

    fn operates(self) -> Result<(), Refusal> {
        let message = format!("user {} may not change what VMs are given; root and the service's user may", self.uid);
        if self.is_operator { Ok(()) } else { Err(Refusal::new(RefusalKind::Denied, message)) }
    }
}

/// Answers a command.
pub(super) fn answer(engine: &mut Engine, caller: Caller, request: &ServiceRequest, now_ms: u64) -> ServiceReply {
    try_answer(engine, caller, request, now_ms).unwrap_or_else(ServiceReply::Error)
}

fn try_answer(
    engine: &mut Engine,
    caller: Caller,
    request: &ServiceRequest,
    now_ms: u64,
) -> Result<ServiceReply, Refusal> {
    match request {
        ServiceRequest::List { after } => {
            Ok(ServiceReply::Vms(engine.list(after.as_ref(), |uid| caller.may_see(uid), now_ms)))
        }
        ServiceRequest::Host => match engine.host(caller.is_operator, now_ms) {
            Some(host) => Ok(ServiceReply::Host(Box::new(host))),
            None => Err(Refusal::new(RefusalKind::Failed, "nothing was decided yet; ask again in a moment")),
        },
        ServiceRequest::Explain { vm } => {
            caller.sees(engine, vm)?;
            engine.explain(vm, now_ms).map(ServiceReply::Explained)
        }
        ServiceRequest::SetWeight { vm, weight } => {
            caller.operates()?;
            engine.set_weight(vm, *weight).map(|()| ServiceReply::Done)
        }
        ServiceRequest::Register(_) | ServiceRequest::Report(_) => {
            let message = "a connection that asks is no VM's: registering comes first, and reports behind it";
            Err(Refusal::new(RefusalKind::Malformed, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::service::{Counts, Registration};

    use super::*;
    use crate::engine::{InForce, Objection, Origin, Unservable};

    const OWNER: Caller = Caller { uid: 7, is_operator: false };
    const OTHER: Caller = Caller { uid: 8, is_operator: false };
    const OPERATOR: Caller = Caller { uid: 0, is_operator: true };

    /// An engine with a VM of user 7, about which something was decided.
    fn engine() -> (Engine, VmName) {
        let in_force = InForce {
            policy: policy::Policy::default(),
            path: None,
            generation: 1,
            sha256: String::new(),
            error: None,
        };
        let mut engine = Engine::new(in_force, 0);
        let host = policy::law::observation::HostObservation {
            now_ms: 0,
            total_bytes: 1 << 36,
            available_bytes: 1 << 35,
            psi: None,
        };
        let name: VmName = "vm".parse().unwrap();
        let registration = Registration {
            name: name.clone(),
            label: None,
            memory_bytes: 1 << 24,
            runs: false,
            lease_bytes: 0,
            counts: Counts::default(),
        };
        engine.register(Origin { uid: 7, pid: 1, cgroup: None }, registration, host, |_| None).unwrap();
        engine.decide(host);
        (engine, name)
    }

    fn seen(caller: Caller) -> usize {
        let (mut engine, _) = engine();
        let ServiceReply::Vms(page) = answer(&mut engine, caller, &ServiceRequest::List { after: None }, 0) else {
            panic!("no list")
        };
        page.vms.len()
    }

    fn refused(caller: Caller, request: &ServiceRequest) -> Option<RefusalKind> {
        let (mut engine, _) = engine();
        match answer(&mut engine, caller, request, 0) {
            ServiceReply::Error(refusal) => Some(refusal.kind),
            _ => None,
        }
    }

    #[test]
    fn of_others_vms_a_user_sees_nothing_not_even_that_they_are_there() {
        assert_eq!((seen(OWNER), seen(OTHER), seen(OPERATOR)), (1, 0, 1));
        let explain = |vm: &str| ServiceRequest::Explain { vm: vm.parse().unwrap() };
        assert_eq!(refused(OWNER, &explain("vm")), None);
        assert_eq!(refused(OPERATOR, &explain("vm")), None);
        assert_eq!(refused(OTHER, &explain("vm")), Some(RefusalKind::NoSuchVm));
        assert_eq!(refused(OTHER, &explain("none")), Some(RefusalKind::NoSuchVm));
    }

    #[test]
    fn the_names_of_vms_that_a_policy_could_not_serve_are_for_operators() {
        let (mut engine, _) = engine();
        let objection = Objection::from(Unservable(vec!["secret".into(), "other".into()]));
        engine.note_policy_error(Some(objection));
        let mut told = |caller: Caller| match answer(&mut engine, caller, &ServiceRequest::Host, 0) {
            ServiceReply::Host(host) => host.policy_error.unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(told(OPERATOR).ends_with("secret, other"));
        assert_eq!(told(OWNER), "with it 2 VMs would not have their reservation");
    }

    #[test]
    fn nobody_but_an_operator_changes_a_weight_not_even_the_owner() {
        let request = ServiceRequest::SetWeight { vm: "vm".parse().unwrap(), weight: Some(10_000) };
        assert_eq!(refused(OWNER, &request), Some(RefusalKind::Denied));
        assert_eq!(refused(OTHER, &request), Some(RefusalKind::Denied));
        assert_eq!(refused(OPERATOR, &request), None);
        let heavier = ServiceRequest::SetWeight { vm: "vm".parse().unwrap(), weight: Some(10_001) };
        assert_eq!(refused(OPERATOR, &heavier), Some(RefusalKind::Invalid));
    }
}
