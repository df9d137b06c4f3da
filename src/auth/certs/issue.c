/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/certs/issue.h"

#include "auth/hosts/hosts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

enum { AUTHORITIES_ARENA = 64 * KiB, REQUEST_ARENA = 128 * KiB };

/* The signer answers in less than a millisecond; after this time it counts as hanging. */
#define SIGNER_TIMEOUT SECONDS(5)
#define CREATION_TIMEOUT SECONDS(60) /* new CAs: finding an RSA key takes seconds on a busy machine */

struct pending {
        void (*done)(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err);
        void *ctx;
        const struct loop *loop;
        struct instant began;
};

static void on_certs(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct pending *request = ctx;

        metric_observe_at(METRIC_GENERATE_SECONDS, 0, instant_since(loop_now(request->loop), request->began));
        request->done(request->ctx, (const Cteleport__Internal__V1__HostCerts *)answer, err);
        free(request);
}

struct error *issue_failed(struct error *err)
{
        if (err->code == ERROR_INVALID_ARGUMENT || err->code == ERROR_PERMISSION_DENIED)
                return error_wrap(err, "the signer refuses");
        return error_because(error_new(ERROR_UNAVAILABLE, "the certificates could not be made"), err);
}

static char **texts_to_c(struct arena *arena, const struct str *texts, size_t count)
{
        char **list = arena_alloc(arena, (count + 1) * sizeof *list);

        for (size_t i = 0; i < count; i++)
                list[i] = (char *)arena_str(arena, texts[i]).ptr; /* arena_str ends in NUL; names hold none */
        return list;
}

void issue(struct auth *a, const struct issue_request *request,
           void (*done)(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err), void *ctx)
{
        Cteleport__Internal__V1__HostCertRequest m = CTELEPORT__INTERNAL__V1__HOST_CERT_REQUEST__INIT;
        AUTO_PTR(arena) arena = arena_new(REQUEST_ARENA);
        struct pending *pending = NEW(struct pending);

        pending->done = done;
        pending->ctx = ctx;
        pending->loop = &a->loop;
        pending->began = loop_now(&a->loop);
        metric_count(METRIC_GENERATE_REQUESTS, "", "");
        m.host_id = (char *)arena_str(arena, request->host_id).ptr;
        m.node_name = (char *)arena_str(arena, request->host_name).ptr;
        m.role = (char *)arena_str(arena, request->role).ptr;
        m.system_roles = pb_texts((const char *const *)request->system_roles);
        m.n_system_roles = request->system_role_count;
        m.principals = texts_to_c(arena, request->principals, request->principal_count);
        m.n_principals = request->principal_count;
        m.dns_names = texts_to_c(arena, request->dns_names, request->dns_name_count);
        m.n_dns_names = request->dns_name_count;
        m.tls_public_key = pb_bytes(request->tls_public_key);
        m.ssh_public_key = pb_bytes(request->ssh_public_key);
        m.ttl_seconds = a->host_cert_ttl.ns / SECONDS(1).ns;
        m.reason = pb_text(request->reason);
        auth_request(a, a->signer, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &m.base,
                 &cteleport__internal__v1__host_certs__descriptor, SIGNER_TIMEOUT, on_certs, pending);
}

struct loading {
        struct auth *auth;
        void (*done)(void *ctx, struct error *err);
        void *ctx;
};

/* For monitoring: when the active certificate of a CA expires. */
static void show_end(const Cteleport__Internal__V1__Authority *authority, const char *label)
{
        AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
        struct cert_info ca;
        AUTO_PTR(error) err = authority->n_tls_certs == 0 ? NULL : cert_read(arena, pb_str(authority->tls_certs[0]), &ca);

        if (authority->n_tls_certs > 0 && err == NULL)
                metric_set(METRIC_CERTIFICATE_END, label, "", walltime_unix(ca.times.not_after));
}

/* "host:<id>:<phase> user:<id>:<phase>" of the CAs that were rotated or are being rotated. Hosts do not have that of tokens. */
static void put_revision(struct authorities *fresh)
{
        size_t len = 0;

        for (size_t i = 0; i < fresh->all->n_authorities && len < sizeof fresh->revision; i++) {
                const Cteleport__Internal__V1__Authority *one = fresh->all->authorities[i];

                if (one->rotation_id[0] != '\0' && one != fresh->jwt)
                        len += (size_t)snprintf(fresh->revision + len, sizeof fresh->revision - len, "%s%s:%s:%s", len == 0 ? "" : " ", one->type,
                                                one->rotation_id, one->phase);
        }
}

struct error *issue_keep_authorities(struct auth *a, const ProtobufCMessage *answer)
{
        struct authorities fresh = { .arena = arena_new(AUTHORITIES_ARENA) };
        ProtobufCMessage *copy = NULL;
        struct error *err = wire_copy(fresh.arena, answer, &copy);

        if (err == NULL) {
                fresh.all = (const Cteleport__Internal__V1__Authorities *)copy;
                for (size_t i = 0; i < fresh.all->n_authorities; i++) {
                        if (str_equal(str_of(fresh.all->authorities[i]->type), STR("host")))
                                fresh.host = fresh.all->authorities[i];
                        if (str_equal(str_of(fresh.all->authorities[i]->type), STR("user")))
                                fresh.user = fresh.all->authorities[i];
                        if (str_equal(str_of(fresh.all->authorities[i]->type), STR("jwt")))
                                fresh.jwt = fresh.all->authorities[i];
                }
                if (fresh.host == NULL || fresh.user == NULL || fresh.jwt == NULL || fresh.host->n_tls_certs == 0 || fresh.host->n_ssh_keys == 0)
                        err = error_new(ERROR_INTERNAL, "the signer did not name a host, a user and a jwt CA");
        }
        if (err != NULL) {
                arena_free(fresh.arena);
                return err;
        }
        put_revision(&fresh);
        arena_free(a->authorities.arena);
        a->authorities = fresh;
        show_end(fresh.host, "host_ca");
        show_end(fresh.user, "user_ca");
        return NULL;
}

static void on_authorities(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct loading *loading = ctx;

        if (err == NULL)
                err = issue_keep_authorities(loading->auth, answer);
        loading->done(loading->ctx, err);
        free(loading);
}

void issue_load_authorities(struct auth *a, bool may_create, void (*done)(void *ctx, struct error *err), void *ctx)
{
        Cteleport__Internal__V1__AuthoritiesRequest m = CTELEPORT__INTERNAL__V1__AUTHORITIES_REQUEST__INIT;
        struct loading *loading = NEW(struct loading);

        *loading = (struct loading){ a, done, ctx };
        m.cluster = pb_text(a->cluster.ptr);
        m.may_create = may_create;
        auth_request(a, a->signer, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_AUTHORITIES, &m.base,
                 &cteleport__internal__v1__authorities__descriptor, CREATION_TIMEOUT, on_authorities, loading);
}

void authority_pem(const Cteleport__Internal__V1__Authority *authority, struct buf *out)
{
        for (size_t i = 0; i < authority->n_tls_certs; i++)
                cert_der_to_pem(pb_str(authority->tls_certs[i]), out);
}

bool authority_is_issuer(const Cteleport__Internal__V1__Authority *authority, const struct cert_info *cert)
{
        for (size_t i = 0; i < authority->n_tls_certs; i++) {
                AUTO_PTR(arena) arena = arena_new(CERT_READ_ARENA);
                struct cert_info ca;
                AUTO_PTR(error) err = cert_read(arena, pb_str(authority->tls_certs[i]), &ca);

                /* CAs of the cluster are self-signed: a CA's issuer equals its subject. */
                if (err == NULL && ca.is_ca && str_equal(ca.issuer, cert->issuer))
                        return true;
        }
        return false;
}

void issue_keep_issuer(Teleport__Join__V1__Certificates *certificates)
{
        for (size_t i = 0; certificates->n_tls_ca_certs > 1 && i < certificates->n_tls_ca_certs; i++) {
                if (!cert_is_issued_by(pb_str(certificates->tls_cert), pb_str(certificates->tls_ca_certs[i])))
                        continue;
                certificates->tls_ca_certs += i;
                certificates->n_tls_ca_certs = 1;
        }
}

void issue_fill_certificates(const struct auth *a, const Cteleport__Internal__V1__HostCerts *certs, struct arena *arena,
                             Teleport__Join__V1__Certificates *ret)
{
        const Cteleport__Internal__V1__Authority *host = a->authorities.host;
        const Cteleport__Internal__V1__Authority *user = a->authorities.user;

        teleport__join__v1__certificates__init(ret);
        ret->tls_cert = certs->tls_cert;
        ret->ssh_cert = certs->ssh_cert;
        ret->tls_ca_certs = host->tls_certs;
        ret->n_tls_ca_certs = host->n_tls_certs;
        /* Hosts verify hosts with the keys of the host CA, and users with those of the user CA. */
        ret->ssh_ca_keys = arena_alloc(arena, (host->n_ssh_keys + user->n_ssh_keys) * sizeof *ret->ssh_ca_keys);
        for (size_t i = 0; i < host->n_ssh_keys; i++)
                ret->ssh_ca_keys[ret->n_ssh_ca_keys++] = host->ssh_keys[i];
        for (size_t i = 0; i < user->n_ssh_keys; i++)
                ret->ssh_ca_keys[ret->n_ssh_ca_keys++] = user->ssh_keys[i];
}

bool issue_name_is_own(struct str name, struct str host_id, struct str host_name, struct str cluster, struct str remote_ip)
{
        return name_is_same(name, host_id, cluster) || name_is_same(name, host_name, cluster) ||
               (!str_is_empty(remote_ip) && name_is_same(name, remote_ip, cluster));
}

struct error *issue_check_host_name(struct str name, struct str cluster)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&canonical, name, cluster);
        if (canonical.len + 1 + cluster.len > LIMIT_NAME) /* a name in certificates of role Node */
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the host name with the cluster's name appended is longer than %d characters",
                                            LIMIT_NAME), "set teleport.nodename in teleport.yaml to a shorter name");
        /* An address may pass to another host. The address from which the host connects is certified in addition to its name. */
        if (name_is_ip(buf_str(&canonical)))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the host name '%.*s' is an address", STR_ARG(name)),
                                  "set teleport.nodename in teleport.yaml to a name");
        if (name_is_reserved(name, cluster))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the host name '%.*s' is reserved", STR_ARG(name)),
                                  "set teleport.nodename in teleport.yaml");
        return NULL;
}
