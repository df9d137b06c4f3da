/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/user.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/node_filter.h"
#include "cmd/tsh/nodes.h"
#include "net/socket.h"

enum { NODES_TABLE_MAX = 16 * MiB };

static const char *const agent_choices[] = { "auto", "no", NULL };
static const char *const auth_choices[] = { "local", NULL };
static const char *const mfa_choices[] = { "auto", "otp", NULL };

const struct flag user_flags[] = {
        { "login", 'l', FLAG_TEXT, .value = "LOGIN", .env = "TELEPORT_LOGIN", .help = "Account to use on nodes" },
        { "proxy", .kind = FLAG_TEXT, .value = "HOST[:PORT]", .env = "TELEPORT_PROXY", .help = "Address of the proxy" },
        { "user", .kind = FLAG_TEXT, .value = "NAME", .env = "TELEPORT_USER", .help = "Name of the user in the cluster" },
        { "ttl", .kind = FLAG_TEXT, .value = "MINUTES", .help = "Lifetime of the login" },
        { "cluster", 'c', FLAG_TEXT, .value = "NAME", .env = "TELEPORT_CLUSTER", .help = "Cluster to use; there is one for each proxy" },
        { "insecure", .kind = FLAG_SWITCH, .help = "Do not verify the proxy's web certificate at login" },
        { "debug", 'd', FLAG_SWITCH, .env = "TELEPORT_DEBUG", .help = "Print debug messages" },
        { "add-keys-to-agent", 'k', FLAG_TEXT, .value = "MODE", .env = "TELEPORT_ADD_KEYS_TO_AGENT", .fallback = "auto",
          .choices = agent_choices, .is_hidden = true, .help = "Keys stay in the profile; ssh finds them there" },
        { "auth", .kind = FLAG_TEXT, .value = "TYPE", .env = "TELEPORT_AUTH", .fallback = "local", .choices = auth_choices,
          .is_hidden = true, .help = "How to log in" },
        { "mfa-mode", .kind = FLAG_TEXT, .value = "MODE", .env = "TELEPORT_MFA_MODE", .fallback = "auto", .choices = mfa_choices,
          .is_hidden = true, .help = "Second factor" },
        { NULL },
};

struct error *user_proxy(struct arena *a, const struct flags *given, const char **ret)
{
        struct str text = str_of(flags_text(given, "proxy"));

        text = str_split(&text, ',');
        text = name_of_url(text);
        if (!str_contains(text, STR("://"))) /* with "://" the scheme is invalid, and is reported */
                text = str_split(&text, '/');
        *ret = str_is_empty(text) ? NULL : str_to_c(a, text);
        return str_is_empty(text) ? NULL : address_check_server(text);
}

struct error *user_load(const struct flags *given, struct profile *ret)
{
        AUTO_PTR(arena) a = arena_new(16 * KiB);
        const char *proxy, *cluster = flags_text(given, "cluster");

        if (flags_given(given, "ttl"))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--ttl has no effect here: it is the lifetime of a login"),
                                  "give it to `tsh login --ttl=MINUTES`");
        TRY(user_proxy(a, given, &proxy));
        TRY(profile_load(ret, proxy, flags_text(given, "user")));
        TRY(profile_check_times(ret, clock_wall(clock_system())));
        if (cluster == NULL || strcmp(cluster, ret->cluster) == 0)
                return NULL;
        AUTO_MEM char *shown = escaped(str_of(cluster));
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "you are logged in to cluster %s, not to '%s'", ret->cluster, shown),
                          "log in there: tsh login --proxy=HOST[:PORT]");
}

/* ---- accounts ------------------------------------------------------------------------------------------------- */

static bool has_login(const struct profile *p, struct str login)
{
        for (size_t i = 0; i < p->login_count; i++)
                if (str_equal(p->logins[i], login))
                        return true;
        return false;
}

struct error *user_login(const struct flags *given, const struct profile *p, const struct target *t, const char **ret)
{
        const char *login = t->login != NULL ? t->login : flags_text(given, "login");
        const struct passwd *local = login == NULL ? getpwuid(getuid()) : NULL;

        if (login == NULL && local != NULL && has_login(p, str_of(local->pw_name)))
                login = arena_printf(p->arena, "%s", local->pw_name);
        if (login == NULL && p->login_count == 1 && name_is_login(p->logins[0]))
                login = str_to_c(p->arena, p->logins[0]);
        if (login == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "no login is given"),
                                  "write LOGIN@NODE or --login=LOGIN; 'tsh status' lists your logins");
        if (!name_is_login(str_of(login))) {
                AUTO_MEM char *shown = escaped(str_of(login));

                return error_new(ERROR_INVALID_ARGUMENT, "'%s' cannot be the name of an account on a node", shown);
        }
        *ret = login;
        return NULL;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static int compare_nodes(const void *a, const void *b)
{
        const Cteleport__V1__Node *x = *(Cteleport__V1__Node *const *)a, *y = *(Cteleport__V1__Node *const *)b;
        int order = strcmp(x->spec->hostname, y->spec->hostname);

        return order != 0 ? order : strcmp(node_id(x), node_id(y));
}

struct error *user_nodes(struct api_client *a, Cteleport__V1__Node ***ret, size_t *ret_count)
{
        TRY(api_client_list(a, "/cteleport.v1.AdminService/ListNodes", &cteleport__v1__list_nodes_response__descriptor,
                       (ProtobufCMessage ***)ret, ret_count));
        for (size_t i = 0; i < *ret_count; i++)
                if ((*ret)[i]->spec == NULL)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent a node without a spec");
        qsort(*ret, *ret_count, sizeof **ret, compare_nodes);
        return NULL;
}

struct error *user_apps(struct api_client *a, Cteleport__V1__AppServer ***ret, size_t *ret_count)
{
        TRY(api_client_list(a, "/cteleport.v1.AdminService/ListAppServers", &cteleport__v1__list_app_servers_response__descriptor,
                            (ProtobufCMessage ***)ret, ret_count));
        return app_servers_check(*ret, *ret_count);
}

struct error *user_ambiguous(Cteleport__V1__Node *const *nodes, size_t count)
{
        AUTO(buf) table = BUF_MAX(NODES_TABLE_MAX);

        nodes_put_table(&table, nodes, count, true);
        fprintf(stderr, "error: ambiguous host could match multiple nodes\n\n%s\n", buf_c(&table));
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "ambiguous host could match multiple nodes"),
                          "name one by its ID, as: tsh ssh login@%s; or let labels that only it has choose it",
                          node_id(nodes[0]));
}

struct error *user_check_target(const struct profile *p, const struct target *t)
{
        return t->node == NULL ? NULL : profile_check_host(p, str_of(arena_printf(p->arena, "%s.%s", t->node, p->cluster)));
}

struct error *user_settle_node(const struct profile *p, struct target *t)
{
        AUTO(api_client) a = { 0 };
        struct node_filter filter = { 0 };
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0;

        if (t->node != NULL)
                return NULL;
        TRY(api_client_open(&a, p));
        TRY(node_filter_add_labels(&filter, a.arena, str_of(t->labels)));
        TRY(user_nodes(&a, &nodes, &count));
        count = node_filter_keep(&filter, nodes, count, a.arena);
        if (count == 0) {
                AUTO_MEM char *shown = escaped(str_of(t->labels));

                return error_hint(error_new(ERROR_NOT_FOUND, "there is no node %s that you may see", shown),
                                  "the nodes are listed by: tsh ls");
        }
        if (count > 1)
                return user_ambiguous(nodes, count);
        if (!name_is_host_id(str_of(node_id(nodes[0]))))
                return error_new(ERROR_DATA_LOSS, "the Auth Service sent a node without an ID");
        t->node = arena_printf(p->arena, "%s", node_id(nodes[0]));
        return NULL;
}

struct error *user_explain(const struct profile *p, const char *node, struct error *err)
{
        AUTO(api_client) a = { 0 };
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0, kept = 0;

        if (err->code != ERROR_FAILED_PRECONDITION)
                return err;
        AUTO_PTR(error) silent = api_client_open(&a, p);
        if (silent == NULL)
                silent = user_nodes(&a, &nodes, &count);
        for (size_t i = 0; i < count; i++)
                if (name_is_same(str_of(nodes[i]->spec->hostname), str_of(node), str_of(p->cluster)))
                        nodes[kept++] = nodes[i];
        if (kept < 2)
                return err;
        error_free(err);
        return user_ambiguous(nodes, kept);
}
