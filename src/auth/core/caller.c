/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/caller.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/core/auth.h"
#include "auth/users/directory.h"
#include "auth/hosts/hosts.h"
#include "auth/web/web_sessions.h"
#include "auth/hosts/tunnels_service.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/rpc.h"

void caller_describe(const struct caller *c, struct buf *out)
{
        if (c->groups & CALLER_ADMIN)
                buf_printf(out, "admin (uid %u)", c->uid);
        else if (c->groups & CALLER_USER)
                buf_put_c(out, c->user);
        else if (c->groups & (CALLER_HOST | CALLER_NODE | CALLER_PROXY))
                buf_printf(out, "%s %s", c->role, c->host_id);
        else
                buf_put_c(out, "unauthenticated");
}

struct error *client_addr_check(const char *remote_addr)
{
        return strlen(remote_addr) < ADDRESS_TEXT_MAX ? NULL : error_new(ERROR_INVALID_ARGUMENT, "the client's address is not one");
}

unsigned caller_groups_of(const struct service_row *service)
{
        static const unsigned groups[] = {
                [SERVICE_CALLS_NONE] = 0,
                [SERVICE_CALLS_HOST] = CALLER_HOST,
                [SERVICE_CALLS_PROXY] = CALLER_PROXY,
                [SERVICE_CALLS_SESSIONS] = CALLER_NODE,
        };

        return service == NULL ? 0 : groups[service->calls];
}

struct caller *caller_new(struct auth *a, unsigned groups, struct str host_id, struct str role, const char *peer)
{
        struct caller *c = NEW(struct caller);

        c->auth = a;
        c->groups = groups | CALLER_UNAUTHENTICATED;
        c->host_id = str_dup(host_id);
        c->user = str_dup(STR(""));
        c->web_session = str_dup(STR(""));
        c->app = str_dup(STR(""));
        c->role = str_dup(role);
        snprintf(c->peer, sizeof c->peer, "%s", peer);
        c->next = a->callers;
        c->at = &a->callers;
        if (c->next != NULL)
                c->next->at = &c->next;
        a->callers = c;
        return c;
}

void caller_free(struct caller *c)
{
        if (c == NULL)
                return;
        *c->at = c->next;
        if (c->next != NULL)
                c->next->at = c->at;
        host_free(c->host);
        free(c->host_id);
        free(c->user);
        free(c->web_session);
        free(c->app);
        free(c->role);
        free(c->identity);
        free(c);
}

void callers_drop_host(struct auth *a, struct str host_id)
{
        for (struct caller *c = a->callers; c != NULL; c = c->next)
                if (c->conn != NULL && c->host_id[0] != '\0' && str_equal(str_of(c->host_id), host_id))
                        rpc_server_close(c->conn);
}

void callers_drop_lost_roles(struct auth *a, const Cteleport__State__V1__Host *host)
{
        for (struct caller *c = a->callers; c != NULL; c = c->next)
                if (c->conn != NULL && str_equal(str_of(c->host_id), str_of(host->host_id)) && !host_has_role(host, str_of(c->role)))
                        rpc_server_close(c->conn);
        const struct service_row *row;
        for (size_t i = 0; (row = services_at(i)) != NULL; i++) {
                bool is_connected = row->kind != NULL || row->calls == SERVICE_CALLS_PROXY; /* by tunnels, or to other proxies */

                if (!is_connected || host_has_role(host, row->role.name))
                        continue;
                AUTO_MEM char *reason = mem_printf("this host does not have role %s any more", row->role.name.ptr);
                tunnels_refuse(a, str_of(host->host_id), row->role.name.ptr, reason);
        }
}

static struct error *is_gone(const struct caller *c)
{
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "user \"%s\" does not exist any more", c->user), "an administrator has removed the user");
}

struct error *caller_user(const struct caller *c, struct arena *arena, struct access_user *ret)
{
        struct access_user p;

        if (loop_wall(&c->auth->loop).ns >= c->cert_not_after.ns)
                return error_hint(error_new(ERROR_UNAUTHENTICATED, "your certificate has expired"), "log in again: tsh login");
        if (directory_user(c->auth->directory, str_of(c->user), NULL) == NULL)
                return is_gone(c);
        TRY(directory_check_issued(c->auth->directory, str_of(c->user), c->cert_not_before));
        TRY(web_sessions_check(c->auth->web_sessions, str_of(c->web_session), str_of(c->user)));
        TRY(directory_access_user(c->auth->directory, str_of(c->user), arena, &p));
        struct str *roles = arena_alloc(arena, (p.role_count + 1) * sizeof *roles);
        for (size_t i = 0; i < p.role_count; i++)
                roles[i] = str_of(p.roles[i]->metadata->name);
        struct lock_subject subject = { .user = p.name, .roles = roles, .role_count = p.role_count };
        TRY(directory_check_locks(c->auth->directory, &subject));
        *ret = p;
        return NULL;
}

struct error *caller_check_host(const struct caller *c)
{
        return c->host == NULL ? NULL : directory_check_host(c->auth->directory, c->host);
}

void caller_set_host(struct caller *c, const Cteleport__State__V1__Host *host)
{
        host_free(c->host);
        c->host = host_dup(host);
}

static void drop_if_locked(struct caller *c, bool nodes_too, bool *ret_has_nodes)
{
        AUTO_PTR(error) err = caller_check_host(c);

        if (err == NULL)
                return;
        if ((c->groups & CALLER_NODE) && !nodes_too) {
                *ret_has_nodes = true;
                return;
        }
        log_warn("The connection of a locked host is closed", LOG_C("host_id", c->host_id), LOG_C("role", c->role),
                 LOG_C("remote_addr", c->peer), LOG_ERR(err));
        rpc_server_close(c->conn);
}

void callers_drop_refused(struct auth *a, bool nodes_too, bool *ret_has_nodes)
{
        for (struct caller *c = a->callers; c != NULL; c = c->next) {
                if (c->conn != NULL && c->host != NULL)
                        drop_if_locked(c, nodes_too, ret_has_nodes);
                if (c->conn == NULL || (c->groups & CALLER_USER) == 0)
                        continue;
                AUTO_PTR(arena) arena = arena_new(USER_ARENA);
                struct access_user p;
                AUTO_PTR(error) err = caller_user(c, arena, &p);

                if (err != NULL)
                        rpc_server_close(c->conn);
        }
}
