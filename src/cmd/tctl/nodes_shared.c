/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/nodes_shared.h"

#include <stdlib.h>

#include "client/app_list.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/node_filter.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"

enum { CELL_MAX = 64 * KiB };

/* ---- lists ---------------------------------------------------------------------------------------- */

static const char *name_of(const Cteleport__V1__Metadata *metadata)
{
        return metadata == NULL ? "" : metadata->name;
}

static int compare_hosts(const char *x_name, const char *x_id, const char *y_name, const char *y_id)
{
        int order = strcmp(x_name, y_name);

        return order != 0 ? order : strcmp(x_id, y_id);
}

static int compare_nodes(const void *a, const void *b)
{
        const Cteleport__V1__Node *x = *(Cteleport__V1__Node *const *)a, *y = *(Cteleport__V1__Node *const *)b;

        return compare_hosts(x->spec->hostname, name_of(x->metadata), y->spec->hostname, name_of(y->metadata));
}

static int compare_instances(const void *a, const void *b)
{
        const Cteleport__V1__Instance *x = *(Cteleport__V1__Instance *const *)a;
        const Cteleport__V1__Instance *y = *(Cteleport__V1__Instance *const *)b;

        return compare_hosts(x->spec->hostname, name_of(x->metadata), y->spec->hostname, name_of(y->metadata));
}

struct error *nodes_list(struct session *s, Cteleport__V1__Node ***ret, size_t *ret_count)
{
        TRY(session_list(s, "ListNodes", &cteleport__v1__list_nodes_response__descriptor, (ProtobufCMessage ***)ret, ret_count));
        for (size_t i = 0; i < *ret_count; i++)
                if ((*ret)[i]->spec == NULL)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent a node without a spec");
        qsort(*ret, *ret_count, sizeof **ret, compare_nodes);
        return NULL;
}

struct error *instances_list(struct session *s, Cteleport__V1__Instance ***ret, size_t *ret_count)
{
        TRY(session_list(s, "ListInstances", &cteleport__v1__list_instances_response__descriptor, (ProtobufCMessage ***)ret, ret_count));
        for (size_t i = 0; i < *ret_count; i++)
                if ((*ret)[i]->spec == NULL)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent an instance without a spec");
        qsort(*ret, *ret_count, sizeof **ret, compare_instances);
        return NULL;
}

struct error *instances_ls(struct session *s, const struct flags *given, const struct instances_view *view)
{
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Instance **instances = NULL;
        size_t count = 0, kept = 0;

        TRY(instances_list(s, &instances, &count));
        for (size_t i = 0; i < count; i++)
                if (view->is_shown(instances[i]->spec, given))
                        instances[kept++] = instances[i];
        if (output_is_text(given))
                view->put_table(&out, instances, kept, given);
        else
                output_put_list(&out, given, (ProtobufCMessage **)instances, kept);
        return output_flush(&out);
}

static int compare_app_servers(const void *a, const void *b)
{
        const Cteleport__V1__AppServer *x = *(Cteleport__V1__AppServer *const *)a, *y = *(Cteleport__V1__AppServer *const *)b;

        return compare_hosts(x->spec->hostname, name_of(x->metadata), y->spec->hostname, name_of(y->metadata));
}

struct error *app_servers_list(struct session *s, Cteleport__V1__AppServer ***ret, size_t *ret_count)
{
        TRY(session_list(s, "ListAppServers", &cteleport__v1__list_app_servers_response__descriptor, (ProtobufCMessage ***)ret, ret_count));
        TRY(app_servers_check(*ret, *ret_count));
        qsort(*ret, *ret_count, sizeof **ret, compare_app_servers);
        return NULL;
}

/* ---- tables --------------------------------------------------------------------------------------- */

/* A host with a reverse tunnel has no address. */
static void put_address(struct buf *out, const Cteleport__V1__NodeSpec *spec)
{
        if (spec->n_public_addrs > 0)
                output_put_words(out, spec->public_addrs, spec->n_public_addrs, ",");
        else if (spec->use_tunnel || spec->addr[0] == '\0')
                buf_put_c(out, "\xe2\x9f\xb5 Tunnel"); /* U+27F5, the arrow that Teleport draws */
        else
                buf_put_c(out, spec->addr);
        node_put_state(out, spec);
}

void nodes_put_table(struct buf *out, Cteleport__V1__Node *const *nodes, size_t count, bool is_verbose)
{
        static const char *const brief[] = { "Host", "UUID", "Public Address", "Labels", "Version", NULL };
        static const char *const full[] = { "Host", "UUID", "Public Address", "Labels", "Version", "Services",
                                            "Join Method", "AWS Account", "AWS ARN", "Last Heartbeat", NULL };
        enum { LABELS = 3 };
        AUTO_PTR(table) t = table_new(is_verbose ? full : brief);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__NodeSpec *spec = nodes[i]->spec;
                AUTO(buf) address = BUF_MAX(CELL_MAX), labels = BUF_MAX(CELL_MAX), services = BUF_MAX(CELL_MAX);
                AUTO(buf) heartbeat = BUF_MAX(128);

                put_address(&address, spec);
                node_put_labels(&labels, nodes[i], is_verbose);
                output_put_words(&services, spec->services, spec->n_services, ",");
                output_put_time(&heartbeat, spec->last_heartbeat);
                TABLE_ROW(t, str_of(spec->hostname), str_of(name_of(nodes[i]->metadata)), buf_str(&address),
                          buf_str(&labels), str_of(spec->version), buf_str(&services), str_of(spec->join_method),
                          str_of(spec->aws_account), str_of(spec->aws_arn), buf_str(&heartbeat));
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, LABELS, terminal_width());
}

void apps_put_table(struct buf *out, Cteleport__V1__App *const *apps, size_t count, bool is_verbose)
{
        static const char *const titles[] = { "Name", "Description", "URI", "Public Address", "Labels", "Version", NULL };
        enum { LABELS = 4 };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                AUTO(buf) labels = BUF_MAX(CELL_MAX), uri = BUF_MAX(CELL_MAX);

                output_put_labels(&labels, apps[i]->metadata, is_verbose);
                if (apps[i]->spec != NULL)
                        app_list_put_uri(&uri, apps[i]->spec);
                TABLE_ROW(t, str_of(name_of(apps[i]->metadata)), str_of(apps[i]->metadata == NULL ? "" : apps[i]->metadata->description), buf_str(&uri),
                          str_of(apps[i]->spec == NULL ? "" : apps[i]->spec->public_addr), buf_str(&labels), str_of(apps[i]->version));
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, LABELS, terminal_width());
}

static bool is_first_of_name(Cteleport__V1__AppServer *const *servers, size_t index)
{
        for (size_t i = 0; i < index; i++)
                if (strcmp(servers[i]->metadata->name, servers[index]->metadata->name) == 0)
                        return false;
        return true;
}

static bool has_other_uri(Cteleport__V1__AppServer *const *servers, size_t count, size_t index)
{
        for (size_t i = index + 1; i < count; i++)
                if (strcmp(servers[i]->metadata->name, servers[index]->metadata->name) == 0 &&
                    strcmp(servers[i]->spec->app->spec->uri, servers[index]->spec->app->spec->uri) != 0)
                        return true;
        return false;
}

/* The first other application with the same public_addr; NULL: none. */
static const char *same_address(Cteleport__V1__AppServer *const *servers, size_t count, size_t index)
{
        const char *addr = servers[index]->spec->app->spec->public_addr;

        for (size_t i = 0; i < count && addr[0] != '\0'; i++)
                if (strcmp(servers[i]->spec->app->spec->public_addr, addr) == 0 && strcmp(servers[i]->metadata->name, servers[index]->metadata->name) != 0)
                        return servers[i]->metadata->name;
        return NULL;
}

/* Lines about names that mean several applications. */
static void put_conflicts(struct buf *out, Cteleport__V1__AppServer *const *servers, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                AUTO_MEM char *name = escaped(str_of(servers[i]->metadata->name)), *host = escaped(str_of(servers[i]->spec->hostname));

                if (servers[i]->spec->hides_resource)
                        buf_printf(out, "WARNING: %s: %s offers the one of its teleport.yaml, and not the resource app/%s; give one of them another name\n", name, host, name);
                const char *other = is_first_of_name(servers, i) ? same_address(servers, count, i) : NULL;
                AUTO_MEM char *shown = escaped(str_of(other == NULL ? "" : other));
                if (other != NULL)
                        buf_printf(out, "WARNING: %s: its public address is that of %s, too; it leads to the one of them that is a resource, otherwise to neither\n", name, shown);
                if (is_first_of_name(servers, i) && has_other_uri(servers, count, i))
                        buf_printf(out, "WARNING: %s: hosts offer it with different URIs, and users get to any of them\n", name);
        }
}

void app_servers_put_table(struct buf *out, Cteleport__V1__AppServer *const *servers, size_t count, bool is_verbose)
{
        static const char *const titles[] = { "Host", "Name", "Type", "Public Address", "URI", "Labels", "Version", NULL };
        enum { LABELS = 5 };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__AppServerSpec *spec = servers[i]->spec;
                AUTO(buf) labels = BUF_MAX(CELL_MAX), uri = BUF_MAX(CELL_MAX);

                app_put_labels(&labels, servers[i], is_verbose);
                app_list_put_uri(&uri, spec->app->spec);
                TABLE_ROW(t, str_of(spec->hostname), str_of(servers[i]->metadata->name), str_of(app_list_type(spec->app->spec->uri)), str_of(spec->app->spec->public_addr),
                          buf_str(&uri), buf_str(&labels), str_of(spec->version));
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, LABELS, terminal_width());
        put_conflicts(out, servers, count);
}

/* An Auth Service of an earlier release sends only whether it is connected. */
const char *instance_state(const Cteleport__V1__InstanceSpec *spec)
{
        if (spec->state[0] != '\0')
                return spec->state;
        return spec->is_connected ? "online" : "offline";
}

void instances_put_table(struct buf *out, Cteleport__V1__Instance *const *instances, size_t count, bool is_verbose)
{
        static const char *const brief[] = { "Server ID", "Hostname", "Services", "Agent Version", "Status", NULL };
        static const char *const full[] = { "Server ID", "Hostname", "Services", "Agent Version", "Status",
                                            "Address", "Labels", "Join Method", "Token", "AWS Account", "AWS ARN",
                                            "Joined", "Last Heartbeat", "Certificate Expires", "Clock Skew", NULL };
        AUTO_PTR(table) t = table_new(is_verbose ? full : brief);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__InstanceSpec *spec = instances[i]->spec;
                AUTO(buf) services = BUF_MAX(CELL_MAX), labels = BUF_MAX(CELL_MAX), joined = BUF_MAX(128);
                AUTO(buf) heartbeat = BUF_MAX(128), expires = BUF_MAX(128), skew = BUF_MAX(64);

                output_put_words(&services, spec->services, spec->n_services, ",");
                output_put_labels(&labels, instances[i]->metadata, is_verbose);
                output_put_time(&joined, spec->joined);
                output_put_time(&heartbeat, spec->last_heartbeat);
                output_put_time(&expires, spec->cert_expires);
                buf_printf(&skew, "%lldms", (long long)spec->clock_skew_ms);
                TABLE_ROW(t, str_of(name_of(instances[i]->metadata)), str_of(spec->hostname), buf_str(&services),
                          str_of(spec->version), str_of(instance_state(spec)),
                          str_of(spec->remote_addr), buf_str(&labels), str_of(spec->join_method), str_of(spec->token_name),
                          str_of(spec->aws_account), str_of(spec->aws_arn), buf_str(&joined), buf_str(&heartbeat),
                          buf_str(&expires), buf_str(&skew));
        }
        table_put(out, t);
}
