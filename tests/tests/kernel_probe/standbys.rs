//! Hooks with two programs, of which the kernel leaves out either now and then: with both of them nothing counts twice, and
//! the standby by itself sees all that the first one does.

/// Tests of other modules, once more.
macro_rules! again {
    ($standbys:ident $($module:ident { $($test:ident),+ $(,)? })+) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                crate::watch::with_standbys(gracetrace::probe::Standbys::$standbys, crate::$module::$test);
            })+
        })+
    };
}

macro_rules! all {
    ($standbys:ident) => {
        again! { $standbys
            connections { every_end_v4, every_end_v6, a_process_for_each_connection, outbound_connections_that_fail }
            sockets { connections_after_the_stop_signal_are_late, sockets_that_outlive_their_container_leave_nothing }
            told { a_container_that_the_agent_watches, the_kernel_sees_by_itself_when_one_ends }
            within { a_pods_own_loopback_device, a_pods_own_address_and_anothers, the_kubelet_is_no_client_v4 }
            seeding { both_ways_and_shared_between_processes, connections_that_end_during_the_search }
            refused {
                v4, the_last_of_several_listeners_counts, refused_where_it_listens_is_nobodys,
                probes_of_the_kubelet_are_no_clients,
            }
            stale_routes { connects_to_an_address_that_is_gone, an_address_that_a_container_has_again }
            losses { what_does_not_fit_is_counted, connections_without_room_are_counted }
            execs { argv_of_a_process_that_lives_under_a_millisecond, exit_statuses }
            trees { processes_of_a_hook_are_counted }
        }
    };
}

mod both {
    all!(Everywhere);
}

mod alone {
    all!(Alone);
}
