/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of services: one row for each service of a host. No other code refers to a service by name.
 *
 * A row names the service in teleport.yaml, in --roles, in certificates and in log lines, and lists its processes. A
 * process states its user and sandbox, the sibling processes it is linked to, its listening sockets, the secrets and
 * sections of the configuration that it receives, the requests that it may send to the supervisor, and its position in
 * the order of start and stop.
 *
 * Read by the supervisor, by every service process, by the checks of resources and configuration, and by teleport, tctl and
 * tsh. A service is added by a row here, its main in cmd/teleport/service_command.c, and its folder.
 *
 * Rows without processes are services of Teleport that this release does not have: their roles join, and they cannot be
 * enabled.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "config.pb-c.h"
#include "os/sandbox.h"

struct service; /* of api/service.h */

enum {
        SERVICE_ROWS_MAX = 16,             /* rows with processes */
        SERVICE_PROCESSES_MAX = 3,     /* of one row */
        SERVICES_PROCESSES_MAX = 16,   /* of all rows */
        SERVICE_LINKS_MAX = 4,         /* of one process, to processes that start before it */
        SERVICES_LINKS_MAX = 24,       /* of all processes */
        SERVICE_LISTENERS_MAX = 3,     /* of one process */
        SERVICE_SECTIONS_MAX = 4,      /* of the configuration, for one process */
};

/* A role of certificates and join tokens. */
struct system_role {
        struct str name;       /* canonical: "Node", "Db", "WindowsDesktop" */
        bool is_local_service; /* a service of a host: a token for it also permits Instance */
        bool is_joinable;      /* tokens may contain it */
};

/* Permitted contents of a role's certificates beyond the names of their host; the signer enforces them. */
enum service_certificate {
        SERVICE_CERT_SYSTEM_ROLES = 1 << 0, /* the roles of all services of the host */
        SERVICE_CERT_SSH = 1 << 1,          /* an SSH host certificate: an SSH server runs under the role */
        SERVICE_CERT_DNS_NAMES = 1 << 2,    /* names under which clients connect to the service */
        SERVICE_CERT_CLUSTER = 1 << 3,      /* internal names, the cluster's name and names of this machine */
        SERVICE_CERT_LOCAL_ONLY = 1 << 4,   /* only for the cluster's own machine, never for a joining host */
};

/* The methods of the Auth Service that a certificate of the role, or the link of its process, may call. */
enum service_calls {
        SERVICE_CALLS_NONE,     /* only methods that are open to all */
        SERVICE_CALLS_HOST,     /* certificates of the roles of this host, and its presence */
        SERVICE_CALLS_PROXY,    /* requests for forwarded clients: dialling, logins, tickets */
        SERVICE_CALLS_SESSIONS, /* reports and recordings of sessions */
};

/* Secrets that the supervisor passes to a process; a process gets only the listed ones. */
enum service_secret {
        SERVICE_SECRET_STATIC_TOKENS = 1 << 0, /* auth_service.tokens */
        SERVICE_SECRET_JOIN_TOKEN = 1 << 1,    /* teleport.join_params.token_name, resolved */
        SERVICE_SECRET_WEB_KEYS = 1 << 2,      /* private keys of the web port */
        SERVICE_SECRET_HTTP_PROXY = 1 << 3,    /* variables for connections to the cluster; HTTPS_PROXY may contain a password */
        SERVICE_SECRET_ENVIRONMENT = 1 << 4,   /* the whole environment: AWS_* and variables for a credential_process */
};

/* Requests that a process may send to the supervisor, beside READY, FATAL and RELINK, which all may send. */
enum service_request {
        SERVICE_REQUEST_SSHD = 1 << 0,     /* starting and ending an sshd, checks of the programs it starts */
        SERVICE_REQUEST_AWS_SIGN = 1 << 1, /* a process that signs for one join */
        SERVICE_REQUEST_HOST_ID = 1 << 2,  /* writing data_dir/host_uuid */
        SERVICE_REQUEST_STATUS = 1 << 3,   /* reporting the membership of this host to the service manager */
};

/* A socket that the supervisor opens and the process accepts on. */
struct service_listener {
        const char *name;    /* for service_take_fd: "listen"; NULL: this entry is empty */
        const char *setting; /* key of the service's section with the TCP address, "" there: not opened; NULL: a Unix socket */
        const char *path;    /* of the Unix socket, below data_dir */
        const char *event;   /* the log line when a TCP listener is open */
};

struct service_process {
        const char *name; /* "signer": of Boot, of log lines, of the process title */
        /*
         * Runs the service. NULL in the rows of services.c, which tctl and tsh link too; cmd/teleport/service_command.c
         * sets it.
         */
        int (*main)(struct service *s);

        struct sandbox_user user;     /* name NULL: stays the user that the supervisor runs as */
        enum sandbox_kind sandbox;
        const char *links[SERVICE_LINKS_MAX + 1]; /* names of processes that start before this one; NULL-terminated */
        struct service_listener listeners[SERVICE_LISTENERS_MAX];
        const char *sections[SERVICE_SECTIONS_MAX + 1]; /* of teleport.yaml, beside `teleport`; NULL-terminated */
        unsigned secrets;             /* enum service_secret */
        unsigned requests;            /* enum service_request */

        const char *follows;          /* the process it depends on: it is killed and started with that one; NULL: none */
        bool keeps_state;             /* has the cluster's state: generates the host's ID; checked against a used CA */
        bool has_no_journal;          /* gets no socket of the journal, which could be used for datagrams to other programs */
        bool is_vital;                /* its fatal error ends the supervisor */
        bool is_on_demand;            /* started for one request, not with the others: start and stop are 0 */
        bool needs_commands;          /* runs only if there are commands of labels */
        bool overlaps;                /* a new process starts before the former one ends, which first finishes its connections */
        bool reloads;                 /* is informed when the operator sends SIGHUP */
        bool needs_acme;              /* runs only if proxy_service.acme is enabled */
        bool needs_diag;              /* runs only if teleport.diag_addr is set, whatever services are enabled; gets the metrics of all */
        unsigned start;               /* order of start, from 1; equal numbers in the order of the table */
        unsigned stop;                /* order of stop, from 1; 0: ends with the process it follows */
};

struct service_row {
        const char *name;         /* "ssh": of Boot.services */
        const char *title;        /* "SSH Service", for users */
        const char *about;        /* one sentence for the output of `teleport configure` */
        const char *section;      /* "ssh_service", of teleport.yaml; NULL: runs if any joining service does, or by its processes' needs_… */
        const char *flag;         /* "node", of --roles; NULL: none */
        const char *kind;         /* kind of the resources that it offers to users: "node"; NULL: none */
        struct system_role role;
        struct str role_alias;    /* an accepted alternative spelling; "": none */
        bool is_on_by_default;    /* enabled unless its section has `enabled: no` */
        unsigned certificate;     /* enum service_certificate */
        enum service_calls calls;
        struct service_process processes[SERVICE_PROCESSES_MAX];
};

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* The row at a position, from 0 on; NULL beyond the last. */
const struct service_row *services_at(size_t i);
/* NULL when there is no such row. */
const struct service_row *services_find(const char *name);
const struct service_row *services_of_role(struct str role); /* canonical name, case-sensitive */
const struct service_row *services_of_process(const char *process);
/* The service of this release that offers resources of a kind. */
const struct service_row *services_of_kind(struct str kind);
/* If several rows share a section (only in tests), the one that this release runs. */
const struct service_row *services_of_section(const char *section);

/* The services that this release runs, in the order in which their processes of the same name start; NULL beyond the last. */
const struct service_row *services_present_at(size_t i);
/* Whether this release runs the service; otherwise it only knows the role. */
bool services_is_present(const struct service_row *row);

/* Whether the role of a certificate or record permits to offer resources of a kind: "Node" offers "node". */
bool services_offers(struct str role, const char *kind);

/* Appends the values of --roles that this release accepts: "auth, proxy, node and app". */
void services_put_flags(struct buf *out);
/* The output of services_put_flags(), as a constant for help texts. */
#define SERVICES_FLAGS "auth, proxy, node and app"

/* ---- processes ----------------------------------------------------------------------------------------- */

/* The processes that start with the supervisor, in that order, from 0 on; NULL beyond the last. */
const struct service_process *services_process_at(size_t i);
/* The processes in the order in which they are stopped, from 0 on; NULL beyond the last. */
const struct service_process *services_stop_at(size_t i);
/* NULL when there is none; on-demand processes included. */
const struct service_process *services_process(const char *name);

/* ---- configuration ------------------------------------------------------------------------------------- */

/* Whether the configuration enables the service. */
bool services_is_enabled(const Cteleport__V1__Config *config, const struct service_row *row);
/* Whether a process runs under this configuration. */
bool services_process_is_needed(const Cteleport__V1__Config *config, const struct service_process *process);
/* Sets `enabled` of the row's section, which is created in the arena if missing. */
void services_enable(Cteleport__V1__Config *config, struct arena *arena, const struct service_row *row, bool is_on);

/* The value of a text setting in the row's section, or in `teleport` if it has none; "" if it is unset. */
const char *services_setting(const Cteleport__V1__Config *config, const struct service_row *row, const char *setting);

/* Removes from *config, a copy that the caller owns, every section that the process does not receive. */
void services_keep_sections(Cteleport__V1__Config *config, const struct service_process *process);

#endif
