/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a host, a path, a query and a state, each ended by a newline. An application that is found has a valid name, which with the public
 * name is the host again. What is carried through the launch page is safe in a Location, within its length, and the same when it is read.
 */
#include "base/bug.h"
#include "base/names.h"
#include "proxy/apps/app_address.h"
#include "proxy/web/form.h"

static void check_chain(struct str app, struct str at)
{
        struct app_chain chain, again;
        AUTO(buf) out = BUF_MAX(1 * KiB);
        AUTO(form) form = { 0 };

        if (!app_address_read_chain(app, at, &chain))
                return;
        app_address_put_chain(&out, &chain);
        struct error *err = form_parse(str_slice(buf_str(&out), 1, out.len), &form);
        if (err != NULL)
                bug("parameters that are not read back");
        (void)app_address_read_chain(form_value(&form, "for"), form_value(&form, "at"), &again);
        if (!str_equal(again.app, chain.app) || again.at != chain.at)
                bug("another application");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *const public_addrs[] = { (char *)"proxy.example.com:443", (char *)"10.0.0.1:3080", (char *)"localhost" };

static void check_host(struct str host)
{
        char app[APP_NAME_MAX + 1];
        struct str public_addr;

        if (!app_address_find(host, public_addrs, ARRAY_LEN(public_addrs), app, &public_addr)) {
                if (app[0] != '\0')
                        bug("a name without an application");
                return;
        }
        AUTO(buf) again = BUF_MAX(1 * KiB);
        buf_printf(&again, "%s.%.*s", app, STR_ARG(app_address_host(public_addr)));
        if (!name_is_app(str_of(app)) || !str_equal_nocase(buf_str(&again), app_address_host(host)))
                bug("'%s' is not the host", buf_c(&again));
}

/* Names of the proxy, or below it, that somebody has announced lead to nothing else than without the announcement. */
static void check_address(struct str host)
{
        static const char *const sent[][2] = { { "pages.example.org", "pages" }, { "localhost", "evil" }, { "proxy.example.com", "evil" }, { "wiki.proxy.example.com", "evil" } };
        Cteleport__V1__AppAddress rows[ARRAY_LEN(sent)], *list[ARRAY_LEN(sent)];
        Cteleport__V1__AppAddresses addresses = CTELEPORT__V1__APP_ADDRESSES__INIT;
        struct app_addresses known = { 0 };
        char app[APP_NAME_MAX + 1], own[APP_NAME_MAX + 1];
        struct str public_addr;

        addresses.addresses = list;
        addresses.n_addresses = ARRAY_LEN(sent);
        for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
                cteleport__v1__app_address__init(&rows[i]);
                rows[i].addr = (char *)(uintptr_t)sent[i][0];
                rows[i].app = (char *)(uintptr_t)sent[i][1];
                list[i] = &rows[i];
        }
        app_addresses_set(&known, &addresses);
        bool is_own = app_address_find(host, public_addrs, ARRAY_LEN(public_addrs), own, &public_addr);
        bool is_found = app_addresses_find(&known, host, public_addrs, ARRAY_LEN(public_addrs), app, &public_addr);
        bool is_pages = str_equal_nocase(app_address_host(host), STR("pages.example.org"));
        app_addresses_release(&known);
        if (is_found != (is_own || is_pages) || strcmp(app, is_own ? own : is_pages ? "pages" : "") != 0)
                bug("a host leads to '%s'", app);
}

static void check_target(struct str path, struct str query)
{
        AUTO(buf) out = BUF_MAX(8 * KiB);
        AUTO(form) form = { 0 };

        app_address_put_target(&out, path, query);
        if (out.overflowed || out.len > APP_TARGET_ENCODED_MAX)
                bug("a target of %zu bytes", out.len);
        for (size_t i = 0; i < out.len; i++)
                if (out.ptr[i] <= ' ' || out.ptr[i] > '~')
                        bug("a control byte in a Location");
        struct error *err = form_parse(buf_str(&out), &form);
        if (err != NULL)
                bug("a target that is not read back");
        struct str got = form_value(&form, "path");
        if (!app_address_is_path(got) || (!str_equal(got, path) && !str_equal(got, STR("/"))) || !app_address_is_query(form_value(&form, "query")))
                bug("another target");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str rest = str_of_bytes(data, size);
        struct str host = str_split(&rest, '\n'), path = str_split(&rest, '\n'), query = str_split(&rest, '\n'), secret, id;

        check_host(host);
        check_address(host);
        check_target(path, query);
        check_chain(path, query);
        if (app_address_split_state(rest, &secret, &id) && secret.len + 1 + id.len != rest.len)
                bug("a state with more than its parts");
        return 0;
}
