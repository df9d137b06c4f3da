/* SPDX-License-Identifier: Apache-2.0 */
/* Mains of services that cannot start. */
#include "api/service.h"

int __wrap_ssh_main(struct service *s);
int __wrap_proxy_main(struct service *s);

int __wrap_ssh_main(struct service *s)
{
        (void)s;
        return 1;
}

int __wrap_proxy_main(struct service *s)
{
        (void)s;
        return 1;
}
