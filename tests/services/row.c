/* SPDX-License-Identifier: Apache-2.0 */
/* One row more for the table of services, in programs that only tests run: an agent service with a role, user and section. */
#include "services/services.h"

int echo_main(struct service *s) WEAK; /* tctl has none */

const struct service_row services_test_rows[] = {
        {
                .name = "echo", .title = "Echo Service", .about = "Serves nothing.", .section = "db_service", .flag = "echo",
                .role = { STR_INIT("Echo"), .is_local_service = true, .is_joinable = true },
                .processes = {
                        {
                                .name = "echo", .main = echo_main, .user = { "teleport-echo", 61170 }, .sandbox = SANDBOX_SSH,
                                .links = { "auth", "instance" }, .sections = { "db_service" }, .start = 6, .stop = 2,
                        },
                },
        },
        { 0 },
};
