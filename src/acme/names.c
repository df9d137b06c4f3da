/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/names.h"

#include "base/names.h"
#include "net/socket.h"

enum { HTTPS_PORT = 443 };

static void add(struct acme_names *names, struct str host)
{
        bool fits = names->count < ARRAY_LEN(names->list) && name_is_host(host) && !name_is_ip(host);

        for (size_t i = 0; i < names->count && fits; i++)
                fits = !str_equal_nocase(names->list[i], host);
        if (fits)
                names->list[names->count++] = host;
}

void acme_names_collect(const Cteleport__V1__ProxyConfig *proxy, struct acme_names *ret)
{
        *ret = (struct acme_names){ 0 };
        for (size_t i = 0; i < proxy->n_public_addr; i++) {
                struct str host;
                int port;
                AUTO_PTR(error) err = address_split(str_of(proxy->public_addr[i]), HTTPS_PORT, &host, &port);

                if (err == NULL)
                        add(ret, host);
        }
}
