/* SPDX-License-Identifier: Apache-2.0 */
#include "services/services.h"

#include "base/bug.h"
#include "base/buf.h"
#include "base/compiler.h"

/*
 * Fallback IDs of users lie in the range that systemd's UIDS-GIDS.md (2024) leaves to nobody: 60706 to 61183. Each
 * process has its own, so that none can signal, trace or read the files of another.
 */
enum { ID_SIGNER = 61101, ID_STS, ID_AUTH, ID_PROXY, ID_INSTANCE, ID_SSH, ID_ACME, ID_DIAG, ID_APP };

/* Auth makes its own identity and does not join. Instance comes with every service and is never written down. */
/* clang-format off */
static const struct service_row rows[] = {
        {
                .name = "ssh", .title = "SSH Service", .about = "Makes this host one to connect to.",
                .section = "ssh_service", .flag = "node", .kind = "node", .is_on_by_default = true,
                .role = { STR_INIT("Node"), .is_local_service = true, .is_joinable = true },
                .certificate = SERVICE_CERT_SSH, .calls = SERVICE_CALLS_SESSIONS,
                .processes = {
                        {
                                .name = "ssh", .user = { "teleport-ssh", ID_SSH }, .sandbox = SANDBOX_SSH,
                                .links = { "auth", "instance" }, .sections = { "ssh_service", "proxy_service" },
                                .secrets = SERVICE_SECRET_HTTP_PROXY, .requests = SERVICE_REQUEST_SSHD,
                                .overlaps = true, .reloads = true, .start = 6, .stop = 2,
                        },
                },
        },
        {
                .name = "proxy", .title = "Proxy Service", .about = "The public port of the cluster.",
                .section = "proxy_service", .flag = "proxy", .is_on_by_default = true,
                .role = { STR_INIT("Proxy"), .is_local_service = true, .is_joinable = true },
                .certificate = SERVICE_CERT_DNS_NAMES | SERVICE_CERT_CLUSTER, .calls = SERVICE_CALLS_PROXY,
                .processes = {
                        {
                                .name = "proxy", .user = { "teleport-proxy", ID_PROXY }, .sandbox = SANDBOX_PROXY,
                                .links = { "auth" }, .sections = { "proxy_service" },
                                .listeners = {
                                        { .name = "listen", .setting = "web_listen_addr", .event = "Proxy service listening" },
                                        { .name = "plain", .setting = "plain_http_addr", .event = "Proxy service listening for plain HTTP" },
                                        { .name = "peer", .setting = "peer_listen_addr", .event = "Proxy service listening for other proxies" },
                                },
                                .secrets = SERVICE_SECRET_WEB_KEYS, .overlaps = true, .start = 4, .stop = 1,
                        },
                        {
                                .name = "acme", .user = { "teleport-acme", ID_ACME }, .sandbox = SANDBOX_ACME, .links = { "proxy" },
                                .sections = { "proxy_service" }, .secrets = SERVICE_SECRET_HTTP_PROXY, .needs_acme = true, .reloads = true,
                                .start = 4, .stop = 1,
                        },
                },
        },
        {
                .name = "kube", .title = "Kubernetes Service", .section = "kubernetes_service",
                .role = { STR_INIT("Kube"), .is_local_service = true, .is_joinable = true },
                .certificate = SERVICE_CERT_DNS_NAMES,
        },
        {
                .name = "app", .title = "Application Service", .about = "Makes applications reachable from this host.",
                .section = "app_service", .flag = "app", .kind = "app",
                .role = { STR_INIT("App"), .is_local_service = true, .is_joinable = true },
                .calls = SERVICE_CALLS_SESSIONS,
                .processes = {
                        {
                                .name = "app", .user = { "teleport-app", ID_APP }, .sandbox = SANDBOX_APP,
                                .links = { "auth", "instance" }, .sections = { "app_service", "proxy_service" },
                                .secrets = SERVICE_SECRET_HTTP_PROXY, .overlaps = true, .start = 6, .stop = 2,
                        },
                },
        },
        {
                .name = "db", .title = "Database Service", .section = "db_service", .flag = "db",
                .role = { STR_INIT("Db"), .is_local_service = true, .is_joinable = true },
        },
        {
                .name = "windows_desktop", .title = "Windows Desktop Service", .section = "windows_desktop_service",
                .role = { STR_INIT("WindowsDesktop"), .is_local_service = true, .is_joinable = true },
                .role_alias = STR_INIT("windows_desktop"), .certificate = SERVICE_CERT_DNS_NAMES,
        },
        {
                .name = "discovery", .title = "Discovery Service",
                .role = { STR_INIT("Discovery"), .is_local_service = true, .is_joinable = true },
        },
        {
                .name = "auth", .title = "Auth Service", .about = "Decides who joins, and owns the state of the cluster.",
                .section = "auth_service", .flag = "auth", .is_on_by_default = true,
                .role = { STR_INIT("Auth"), .is_local_service = true },
                .certificate = SERVICE_CERT_DNS_NAMES | SERVICE_CERT_CLUSTER | SERVICE_CERT_LOCAL_ONLY,
                .processes = {
                        {
                                .name = "signer", .user = { "teleport-signer", ID_SIGNER }, .sandbox = SANDBOX_SIGNER, .sections = { "auth_service" },
                                .follows = "auth", .has_no_journal = true, .is_vital = true, .start = 1,
                        },
                        {
                                .name = "sts", .user = { "teleport-sts", ID_STS }, .sandbox = SANDBOX_STS,
                                .sections = { "auth_service" }, .secrets = SERVICE_SECRET_HTTP_PROXY, .follows = "auth", .start = 2,
                        },
                        {
                                .name = "auth", .user = { "teleport-auth", ID_AUTH }, .sandbox = SANDBOX_AUTH,
                                .links = { "signer", "sts" }, .sections = { "auth_service", "proxy_service" },
                                .listeners = {
                                        { .name = "listen", .setting = "listen_addr", .event = "Auth service listening" },
                                        { .name = "auth.sock", .path = "auth.sock" },
                                },
                                .secrets = SERVICE_SECRET_STATIC_TOKENS, .keeps_state = true, .is_vital = true, .start = 3, .stop = 5,
                        },
                },
        },
        {
                .name = "instance", .title = "Instance", .role = { STR_INIT("Instance") },
                .certificate = SERVICE_CERT_SYSTEM_ROLES, .calls = SERVICE_CALLS_HOST,
                .processes = {
                        {
                                .name = "instance", .user = { "teleport-instance", ID_INSTANCE }, .sandbox = SANDBOX_INSTANCE,
                                .links = { "auth", "proxy" }, .sections = { "proxy_service", "ssh_service", "app_service" },
                                .secrets = SERVICE_SECRET_JOIN_TOKEN | SERVICE_SECRET_HTTP_PROXY,
                                .requests = SERVICE_REQUEST_AWS_SIGN | SERVICE_REQUEST_HOST_ID | SERVICE_REQUEST_STATUS, .start = 5, .stop = 4,
                        },
                        {
                                .name = "aws-sign", .sandbox = SANDBOX_AWS_SIGN, .secrets = SERVICE_SECRET_ENVIRONMENT,
                                .is_on_demand = true,
                        },
                        {
                                .name = "labels", .sandbox = SANDBOX_LABELS, .links = { "instance" },
                                .sections = { "ssh_service", "app_service" }, .needs_commands = true, .start = 7, .stop = 3,
                        },
                },
        },
        {
                .name = "diag", .title = "Diagnostic Service",
                .processes = {
                        {
                                .name = "diag", .user = { "teleport-diag", ID_DIAG }, .sandbox = SANDBOX_DIAG,
                                .listeners = { { .name = "listen", .setting = "diag_addr", .event = "Diagnostic service listening" } },
                                .needs_diag = true, .start = 8, .stop = 6,
                        },
                },
        },
};
/* clang-format on */

/* Rows that a test links beside these, up to one without a name; a program that is installed has none. */
extern const struct service_row services_test_rows[] WEAK;

/* ---- rows ---------------------------------------------------------------------------------------------- */

const struct service_row *services_at(size_t i)
{
        const struct service_row *more = services_test_rows;

        if (i < ARRAY_LEN(rows))
                return &rows[i];
        for (i -= ARRAY_LEN(rows); more != NULL && more->name != NULL; more++)
                if (i-- == 0)
                        return more;
        return NULL;
}

const struct service_row *services_find(const char *name)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (strcmp(row->name, name) == 0)
                        return row;
        return NULL;
}

const struct service_row *services_of_role(struct str role)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (role.len > 0 && str_equal(row->role.name, role))
                        return row;
        return NULL;
}

const struct service_row *services_of_process(const char *process)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                for (size_t n = 0; n < SERVICE_PROCESSES_MAX && row->processes[n].name != NULL; n++)
                        if (strcmp(row->processes[n].name, process) == 0)
                                return row;
        return NULL;
}

const struct service_row *services_of_section(const char *section)
{
        const struct service_row *row, *found = NULL;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->section != NULL && strcmp(row->section, section) == 0 && (found == NULL || services_is_present(row)))
                        found = row;
        return found;
}

bool services_is_present(const struct service_row *row)
{
        return row->processes[0].name != NULL;
}

const struct service_row *services_of_kind(struct str kind)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->kind != NULL && str_equal(str_of(row->kind), kind) && services_is_present(row))
                        return row;
        return NULL;
}

bool services_offers(struct str role, const char *kind)
{
        const struct service_row *row = services_of_role(role);

        return row != NULL && row->kind != NULL && strcmp(row->kind, kind) == 0;
}

/* ---- processes ----------------------------------------------------------------------------------------- */

static unsigned start_of(const struct service_process *p)
{
        return p->start;
}

static unsigned stop_of(const struct service_process *p)
{
        return p->stop;
}

/* The i-th by an order; those whose number is 0 are not in it. The table is short: nothing is sorted and kept. */
static const struct service_process *process_at(size_t i, unsigned (*order_of)(const struct service_process *p))
{
        const struct service_row *row;
        unsigned last = 0;

        for (size_t r = 0; (row = services_at(r)) != NULL; r++)
                for (size_t n = 0; n < SERVICE_PROCESSES_MAX; n++)
                        last = order_of(&row->processes[n]) > last ? order_of(&row->processes[n]) : last;
        for (unsigned order = 1; order <= last; order++)
                for (size_t r = 0; (row = services_at(r)) != NULL; r++)
                        for (size_t n = 0; n < SERVICE_PROCESSES_MAX; n++)
                                if (order_of(&row->processes[n]) == order && i-- == 0)
                                        return &row->processes[n];
        return NULL;
}

const struct service_process *services_process_at(size_t i)
{
        return process_at(i, start_of);
}

const struct service_process *services_stop_at(size_t i)
{
        return process_at(i, stop_of);
}

const struct service_process *services_process(const char *name)
{
        const struct service_row *row = services_of_process(name);

        for (size_t n = 0; row != NULL && n < SERVICE_PROCESSES_MAX; n++)
                if (row->processes[n].name != NULL && strcmp(row->processes[n].name, name) == 0)
                        return &row->processes[n];
        return NULL;
}

const struct service_row *services_present_at(size_t i)
{
        const struct service_process *process;

        for (size_t n = 0; (process = services_process_at(n)) != NULL; n++)
                if (services_find(process->name) != NULL && i-- == 0)
                        return services_find(process->name);
        return NULL;
}

void services_put_flags(struct buf *out)
{
        const struct service_row *row;
        const char *flags[SERVICE_ROWS_MAX];
        size_t count = 0;

        for (size_t i = 0; (row = services_present_at(i)) != NULL; i++)
                if (row->flag != NULL && count < ARRAY_LEN(flags))
                        flags[count++] = row->flag;
        for (size_t i = 0; i < count; i++)
                buf_printf(out, "%s%s", i == 0 ? "" : i + 1 == count ? " and " : ", ", flags[i]);
}

/* ---- configuration ------------------------------------------------------------------------------------- */

/* The field of the message that is a section; protobuf-c keeps a pointer to it there. */
static const ProtobufCFieldDescriptor *section_field(const char *section)
{
        const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field_by_name(&cteleport__v1__config__descriptor, section);

        if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE)
                bug("the configuration has no section '%s'", section);
        return field;
}

static ProtobufCMessage **section_at(const Cteleport__V1__Config *config, const char *section)
{
        return (ProtobufCMessage **)(uintptr_t)((const char *)config + section_field(section)->offset);
}

/* The switch of a section: pointers into the message. */
struct enabled {
        protobuf_c_boolean *has, *value;
};

static struct enabled enabled_of(ProtobufCMessage *message)
{
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "enabled");

        if (field == NULL || field->type != PROTOBUF_C_TYPE_BOOL)
                bug("a section of the configuration has no switch");
        return (struct enabled){
                (protobuf_c_boolean *)(void *)((char *)message + field->quantifier_offset),
                (protobuf_c_boolean *)(void *)((char *)message + field->offset),
        };
}

static bool joins(const Cteleport__V1__Config *config)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->section != NULL && row->role.is_joinable && services_is_present(row) && services_is_enabled(config, row))
                        return true;
        return false;
}

static bool has_diag(const Cteleport__V1__Config *config)
{
        return config->teleport != NULL && config->teleport->diag_addr != NULL && config->teleport->diag_addr[0] != '\0';
}

bool services_is_enabled(const Cteleport__V1__Config *config, const struct service_row *row)
{
        if (row->processes[0].needs_diag)
                return has_diag(config);
        if (row->section == NULL)
                return services_is_present(row) && joins(config);
        ProtobufCMessage *message = *section_at(config, row->section);
        if (message == NULL || !*enabled_of(message).has)
                return row->is_on_by_default;
        return *enabled_of(message).value;
}

static bool uses_acme(const Cteleport__V1__Config *config)
{
        const Cteleport__V1__AcmeConfig *acme = config->proxy_service == NULL ? NULL : config->proxy_service->acme;

        return acme != NULL && acme->has_enabled && acme->enabled;
}

static bool has_commands(const Cteleport__V1__Config *config)
{
        const Cteleport__V1__AppServiceConfig *apps = config->app_service;

        if (config->ssh_service != NULL && config->ssh_service->n_commands > 0 && services_is_enabled(config, services_find("ssh")))
                return true;
        for (size_t i = 0; apps != NULL && services_is_enabled(config, services_find("app")) && i < apps->n_apps; i++)
                if (apps->apps[i]->n_commands > 0)
                        return true;
        return false;
}

bool services_process_is_needed(const Cteleport__V1__Config *config, const struct service_process *process)
{
        const struct service_row *row = services_of_process(process->name);

        if (row == NULL || process->is_on_demand || !services_is_enabled(config, row))
                return false;
        if (process->needs_commands && !has_commands(config))
                return false;
        return !process->needs_acme || uses_acme(config);
}

void services_enable(Cteleport__V1__Config *config, struct arena *arena, const struct service_row *row, bool is_on)
{
        ProtobufCMessage **at = section_at(config, row->section);

        if (*at == NULL) {
                const ProtobufCMessageDescriptor *descriptor = section_field(row->section)->descriptor;

                *at = arena_alloc(arena, descriptor->sizeof_message);
                protobuf_c_message_init(descriptor, *at);
        }
        struct enabled enabled = enabled_of(*at);
        *enabled.has = true;
        *enabled.value = is_on;
}

const char *services_setting(const Cteleport__V1__Config *config, const struct service_row *row, const char *setting)
{
        const ProtobufCMessage *message = *section_at(config, row->section == NULL ? "teleport" : row->section);

        if (message == NULL)
                return "";
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, setting);
        if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING || field->label == PROTOBUF_C_LABEL_REPEATED)
                bug("the section of %s has no text '%s'", row->name, setting);
        const char *value = *(char *const *)(const void *)((const char *)message + field->offset);
        return value == NULL ? "" : value;
}

static bool receives(const struct service_process *process, const char *section)
{
        for (const char *const *name = process->sections; *name != NULL; name++)
                if (strcmp(*name, section) == 0)
                        return true;
        return false;
}

void services_keep_sections(Cteleport__V1__Config *config, const struct service_process *process)
{
        const ProtobufCMessageDescriptor *descriptor = &cteleport__v1__config__descriptor;

        for (unsigned i = 0; i < descriptor->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &descriptor->fields[i];

                if (field->type == PROTOBUF_C_TYPE_MESSAGE && strcmp(field->name, "teleport") != 0 && !receives(process, field->name))
                        *section_at(config, field->name) = NULL;
        }
}
