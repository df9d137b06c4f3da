/* SPDX-License-Identifier: Apache-2.0 */
/* tsh apps login, logout, config: certificates with which programs use applications of HTTP. */
#include <stdio.h>

#include "api.pb-c.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/app_list.h"
#include "client/app_login.h"
#include "client/app_port.h"
#include "client/openssh.h"
#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "net/conn_upgrade.h"
#include "net/socket.h"
#include "resource/app_ports.h"
#include "rpc/pb.h"
#include "tsh.pb-c.h"

enum { HTTPS_PORT = 443, TEXT_MAX = 64 * KiB };

static const char *const formats[] = { "default", "uri", "ca", "cert", "key", "curl", "json", "yaml", NULL };

const struct flag apps_config_flags[] = {
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "default", .choices = formats, .help = "Output format" },
        { NULL },
};

const struct flag apps_login_flags[] = {
        { "target-port", 0, FLAG_TEXT, .value = "PORT", .help = "One of the ports of a TCP application that has several" },
        { NULL },
};

const struct argument apps_login_arguments[] = {
        { "app", .is_required = true, .help = "Name of the application" },
        { NULL },
};

const struct argument apps_logout_arguments[] = {
        { "app", .help = "Name of the application; all of them without it" },
        { NULL },
};

const struct argument apps_config_arguments[] = {
        { "app", .help = "Name of the application; not needed if there is one login" },
        { NULL },
};

/* ---- what a program needs ------------------------------------------------------------------------------------------ */

/*
 * "https://NAME.PROXY[:PORT]": the proxy serves an application at a name below its own. One with an address of its own is at "https://ADDRESS[:PORT]";
 * address "": it has none.
 */
static struct error *put_uri(struct buf *out, const struct profile *p, const char *app, const char *address)
{
        struct str host;
        int port = 0;

        TRY(address_split(str_of(p->web_addr), HTTPS_PORT, &host, &port));
        if (address[0] == '\0' && name_is_ip(host))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "an application has a name below that of the proxy, but you are logged in at the address %s", p->web_addr),
                                  "log in at the proxy's name: tsh login --proxy=NAME[:PORT]; or use: tsh proxy app %s", app);
        if (address[0] != '\0')
                buf_printf(out, "https://%s", address);
        else
                buf_printf(out, "https://%s.%.*s", app, STR_ARG(host));
        if (port != HTTPS_PORT)
                buf_printf(out, ":%d", port);
        return buf_finish(out, "the address of an application");
}

static const char *ca_of(const struct profile *p)
{
        return arena_printf(p->arena, "%s/keys/%s/cas/%s.pem", p->home, p->proxy_host, p->cluster);
}

/* A path as it is, or quoted for a shell where that is needed. */
static void put_path(struct buf *out, const char *path)
{
        bool is_plain = true;

        for (const char *at = path; *at != '\0'; at++)
                is_plain = is_plain && (char_is_alnum(*at) || str_find_char(STR("/._-+@:,="), *at) < 9);
        if (is_plain)
                buf_put_c(out, path);
        else
                shell_put_word(out, str_of(path));
}

static void put_curl(struct buf *out, const struct profile *p, const struct app_login *login, const char *uri)
{
        buf_printf(out, "curl %s\\\n  --cert ", p->is_insecure ? "--insecure " : "");
        put_path(out, login->cert);
        buf_put_c(out, " \\\n  --key ");
        put_path(out, login->key);
        buf_printf(out, " \\\n  %s\n", uri);
}

/* ---- login ----------------------------------------------------------------------------------------------------------- */

/* One that the user may see. */
struct found_app {
        Cteleport__V1__AppServer **servers; /* the hosts that offer it */
        size_t count;
        bool is_tcp;
        const char *address; /* its public_addr, "" */
};

static struct error *find_app(struct api_client *a, const char *name, struct found_app *ret)
{
        Cteleport__V1__AppServer **servers = NULL;
        size_t count = 0, kept = 0;

        TRY(user_apps(a, &servers, &count));
        const char *address = app_list_address(servers, count, name);
        for (size_t i = 0; i < count; i++)
                if (strcmp(servers[i]->metadata->name, name) == 0)
                        servers[kept++] = servers[i];
        if (kept > 0) {
                *ret = (struct found_app){ servers, kept, strcmp(app_list_type(servers[0]->spec->app->spec->uri), "TCP") == 0, address };
                return NULL;
        }
        AUTO_MEM char *shown = escaped(str_of(name));
        return error_hint(error_new(ERROR_NOT_FOUND, "app \"%s\" not found", shown), "use `tsh apps ls` to see the applications that you can reach");
}

/* The port for the example, one of the tcp_ports: that of --target-port, or the first one. 0: it has none. */
static struct error *example_port(const struct flags *given, const struct found_app *app, uint32_t *ret)
{
        struct app_ports ports = APP_PORTS(app->servers[0]->spec->app->spec);
        int64_t target;

        *ret = ports.count == 0 ? 0 : ports.list[0]->port;
        if (!flags_given(given, "target-port"))
                return NULL;
        if (!app->is_tcp)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--target-port is for TCP applications with several ports, and '%s' is reached by HTTP", app->servers[0]->metadata->name),
                                  "leave it out");
        TRY(parse_int(str_of(flags_text(given, "target-port")), 1, UINT16_MAX, "--target-port", &target));
        struct error *err = app_port_choose(app->servers, app->count, (uint32_t)target, ret);
        if (err != NULL && ports.count > 0)
                err = error_hint(err, "choose one of them: tsh apps login %s --target-port=PORT", app->servers[0]->metadata->name);
        return err;
}

/* Whether TLS ends in front of the proxy, which then never sees a certificate. The profile was used for a request before. */
static bool is_behind_balancer(const struct profile *p)
{
        enum conn_upgrade setting = CONN_UPGRADE_DETECT;
        struct str host;
        int port = 0;
        AUTO_PTR(error) err = address_split(str_of(p->web_addr), HTTPS_PORT, &host, &port);

        if (err == NULL)
                err = conn_upgrade_of_environment(host, port, &setting);
        return err == NULL && (setting == CONN_UPGRADE_ALWAYS || (setting == CONN_UPGRADE_DETECT && conn_upgrade_is_known(str_of(p->web_addr))));
}

/* port: one of its tcp_ports, 0: it has none. */
static void print_local_proxy(const char *app, uint32_t port, bool is_tcp)
{
        AUTO_MEM char *target = port == 0 ? str_dup(STR("")) : mem_printf(":%u", port);

        printf("Logged into %s %s. Start the local %s for it:\n\n  tsh proxy app %s -p 8080%s\n\nThen connect to the application through this proxy:\n\n  %s\n",
               is_tcp ? "TCP app" : "app", app, is_tcp ? "TCP proxy" : "proxy", app, target, is_tcp ? "127.0.0.1:8080" : "curl http://127.0.0.1:8080");
}

struct error *apps_login_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        AUTO(buf) uri = BUF_MAX(TEXT_MAX), curl = BUF_MAX(TEXT_MAX);
        const char *app = flags_argument(given, 0);
        struct found_app found;
        struct app_login login;
        uint32_t port = 0;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(api_client_open(&a, &p));
        TRY(find_app(&a, app, &found));
        TRY(example_port(given, &found, &port));
        if (found.is_tcp || is_behind_balancer(&p)) {
                print_local_proxy(app, port, found.is_tcp);
                return NULL;
        }
        TRY(put_uri(&uri, &p, app, found.address));
        TRY(app_login_create(&a, &p, app, &login));
        put_curl(&curl, &p, &login, buf_c(&uri));
        printf("Logged into app %s. Example curl command:\n\n%s", app, buf_c(&curl));
        return NULL;
}

/* ---- logout ---------------------------------------------------------------------------------------------------------- */

static struct error *not_logged_into(const char *app)
{
        AUTO_MEM char *shown = escaped(str_of(app));

        return error_hint(error_new(ERROR_NOT_FOUND, "not logged into app \"%s\"", shown), "`tsh apps ls` marks with '>' those that you are logged into");
}

struct error *apps_logout_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        struct app_login *logins = NULL;
        const char *app = flags_argument(given, 0);
        size_t count = 0, ended = 0;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(app_login_list(&p, clock_wall(clock_system()), &logins, &count));
        if (app != NULL && app_login_find(logins, count, app) == NULL)
                return not_logged_into(app);
        TRY(api_client_open(&a, &p));
        for (size_t i = 0; i < count; i++) {
                if (app != NULL && strcmp(app, logins[i].app) != 0)
                        continue;
                TRY(app_login_end(&a, &logins[i]));
                ended++;
        }
        if (ended == 1)
                printf("Logged out of app \"%s\"\n", app != NULL ? app : logins[0].app);
        else
                puts("Logged out of all apps");
        return NULL;
}

static struct error *end_logins(const struct profile *p, const struct app_login *logins, size_t count)
{
        AUTO(api_client) a = { 0 };

        TRY(api_client_open(&a, p));
        for (size_t i = 0; i < count; i++)
                TRY(app_login_end(&a, &logins[i]));
        return NULL;
}

void app_logins_end(const struct profile *p)
{
        struct app_login *logins = NULL;
        size_t count = 0;
        AUTO_PTR(error) err = app_login_list(p, clock_wall(clock_system()), &logins, &count);

        if (err == NULL && count > 0)
                err = end_logins(p, logins, count);
        if (err != NULL)
                fprintf(stderr, "WARNING: sessions of applications were not ended in the cluster: %s; they end with this login\n", err->what);
}

/* ---- config ---------------------------------------------------------------------------------------------------------- */

static struct error *several(const struct app_login *logins, size_t count)
{
        AUTO(buf) names = BUF_MAX(TEXT_MAX);

        for (size_t i = 0; i < count; i++)
                buf_printf(&names, "%s%s", i == 0 ? "" : ", ", logins[i].app);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "multiple apps are available (%s), please specify one via CLI argument", buf_c(&names)), "tsh apps config NAME");
}

static struct error *choose(const struct profile *p, const char *app, const struct app_login **ret)
{
        struct app_login *logins = NULL;
        size_t count = 0;

        TRY(app_login_list(p, clock_wall(clock_system()), &logins, &count));
        if (count == 0)
                return error_new(ERROR_NOT_FOUND, "please login using 'tsh apps login' first");
        if (app == NULL && count > 1)
                return several(logins, count);
        *ret = app == NULL ? &logins[0] : app_login_find(logins, count, app);
        return *ret != NULL ? NULL : not_logged_into(app);
}

/* The address that the application has now; "": none of its own, or the cluster does not tell: the name below the proxy's is good in each case. */
static char *find_address(const struct profile *p, const char *app)
{
        AUTO(api_client) a = { 0 };
        struct found_app found = { .address = "" };
        AUTO_PTR(error) err = api_client_open(&a, p);

        if (err == NULL)
                err = find_app(&a, app, &found);
        return str_dup(str_of(found.address));
}

static struct error *print_config(const struct flags *given, const Cteleport__Tsh__V1__AppConfig *view)
{
        const char *format = flags_text(given, "format");
        const struct {
                const char *name, *title, *value;
        } rows[] = {
                { "name", "Name:", view->name }, { "uri", "URI:", view->uri }, { "ca", "CA:", view->ca }, { "cert", "Cert:", view->cert }, { "key", "Key:", view->key },
        };
        AUTO(buf) out = BUF_MAX(TEXT_MAX);

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (strcmp(format, "default") == 0)
                        buf_printf(&out, "%-10s%s\n", rows[i].title, rows[i].value);
                else if (strcmp(format, rows[i].name) == 0)
                        buf_printf(&out, "%s\n", rows[i].value);
        }
        if (strcmp(format, "curl") == 0)
                buf_put_c(&out, view->curl);
        else if (strcmp(format, "json") == 0 || strcmp(format, "yaml") == 0)
                output_put_one(&out, given, &view->base);
        return output_flush(&out);
}

struct error *apps_config_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(buf) uri = BUF_MAX(TEXT_MAX), curl = BUF_MAX(TEXT_MAX);
        Cteleport__Tsh__V1__AppConfig view = CTELEPORT__TSH__V1__APP_CONFIG__INIT;
        const struct app_login *login = NULL;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(choose(&p, flags_argument(given, 0), &login));
        AUTO_MEM char *address = find_address(&p, login->app);
        TRY(put_uri(&uri, &p, login->app, address));
        put_curl(&curl, &p, login, buf_c(&uri));
        view.name = pb_text(login->app);
        view.uri = pb_text(buf_c(&uri));
        view.ca = pb_text(ca_of(&p));
        view.cert = pb_text(login->cert);
        view.key = pb_text(login->key);
        view.curl = pb_text(buf_c(&curl));
        return print_config(given, &view);
}
