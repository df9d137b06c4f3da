/* SPDX-License-Identifier: Apache-2.0 */
#include "join/host_identity.h"

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/cert_check.h"
#include "services/services.h"

/* Certificates of the cluster are below 2 KiB: two keys, a certificate of each kind and several CAs fit easily. */
enum { IDENTITY_ARENA_MAX = 128 * KiB, PUBLIC_KEY_MAX = 4 * KiB };

struct error *host_keys_generate(struct host_keys *k)
{
        struct host_keys made = { 0 };
        TRY(key_generate(&made.tls, KEY_ECDSA_P256));
        struct error *err = key_generate(&made.ssh, KEY_ED25519);
        if (err != NULL) {
                key_release(&made.tls);
                return err;
        }
        *k = made;
        return NULL;
}

void host_keys_release(struct host_keys *k)
{
        key_release(&k->tls);
        key_release(&k->ssh);
}

static bool vouches(const struct host_certificates *certs, const char *pin)
{
        for (size_t i = 0; i < certs->vouching_count; i++)
                if (str_equal_nocase(certs->vouching_pins[i], str_of(pin)))
                        return true;
        return false;
}

void host_certificates_vouch(struct host_certificates *certs, const struct host_identity *from, const struct ca_pins *pins)
{
        certs->vouching_count = 0;
        for (size_t i = 0; i < pins->count && certs->vouching_count < HOST_CAS_MAX; i++) {
                struct ca_pins one = { &pins->list[i], 1 };
                bool names_ca = vouches(&from->certs, pins->list[i]);

                for (size_t k = 0; k < from->certs.tls_ca_count; k++)
                        names_ca = names_ca || ca_pins_name(&one, from->certs.tls_ca_certs[k]);
                if (names_ca)
                        certs->vouching_pins[certs->vouching_count++] = str_of(pins->list[i]);
        }
}

static struct error *check_pins(const struct ca_pins *pins, const struct host_certificates *certs)
{
        for (size_t i = 0; i < pins->count; i++)
                if (vouches(certs, pins->list[i]))
                        return NULL;
        return ca_pins_check(pins, certs->tls_ca_certs, certs->tls_ca_count);
}

static struct error *check_chain(const struct host_certificates *certs)
{
        struct error *first = NULL;
        for (size_t i = 0; i < certs->tls_ca_count; i++) {
                struct error *err = cert_check_issuer(certs->tls_cert, certs->tls_ca_certs[i]);
                if (err == NULL) {
                        error_free(first);
                        return NULL;
                }
                if (first == NULL)
                        first = err;
                else
                        error_free(err);
        }
        if (first == NULL)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate was received without a CA certificate");
        return error_wrap(first, "the certificate is not signed by a CA that was received with it");
}

static struct error *check_ssh(struct arena *a, const struct host_keys *keys, const struct host_certificates *certs)
{
        struct ssh_cert_info info;
        AUTO(buf) ours = BUF_MAX(PUBLIC_KEY_MAX);
        if (keys->ssh.handle == NULL)
                return error_new(ERROR_UNAUTHENTICATED, "an SSH certificate was received for a key that this host does not have");
        TRY(ssh_cert_read(a, certs->ssh_cert, &info));
        TRY(key_public_ssh(&keys->ssh, &ours));
        if (info.kind != 2)
                return error_new(ERROR_UNAUTHENTICATED, "the SSH certificate is not a host certificate");
        if (!str_equal(info.public_key, buf_str(&ours)))
                return error_new(ERROR_UNAUTHENTICATED, "the SSH certificate is for another key than this host's");
        for (size_t i = 0; i < certs->ssh_ca_count; i++) {
                if (str_equal(info.ca_key, certs->ssh_ca_keys[i]))
                        return NULL;
        }
        return error_new(ERROR_UNAUTHENTICATED, "the SSH certificate is not signed by a CA that was received with it");
}

static struct error *check_is(struct str is, struct str expected, const char *what)
{
        if (str_is_empty(expected) || str_equal(is, expected))
                return NULL;
        AUTO_MEM char *shown = escaped(is), *wanted = escaped(expected);
        return error_new(ERROR_UNAUTHENTICATED, "the certificate is for the %s '%s' instead of '%s'", what, shown,
                         wanted);
}

static struct error *check_subject(const struct cert_info *info, struct host_expectation expected)
{
        if (info->is_ca)
                return error_new(ERROR_UNAUTHENTICATED, "a CA certificate was received instead of a host certificate");
        TRY(check_is(info->role, expected.role, "role"));
        TRY(check_is(info->host_id, expected.host_id, "host"));
        TRY(check_is(info->cluster, expected.cluster, "cluster"));
        if (!name_is_host(info->cluster)) {
                AUTO_MEM char *shown = escaped(info->cluster);
                return error_new(ERROR_FAILED_PRECONDITION, "the certificate names no valid cluster: '%s'", shown);
        }
        if (!name_is_host_id(info->host_id)) {
                AUTO_MEM char *shown = escaped(info->host_id);
                return error_new(ERROR_FAILED_PRECONDITION, "the host ID '%s' of the certificate is malformed",
                                 shown);
        }
        return NULL;
}

/* Only an SSH server uses an SSH certificate; one that an older cluster issues to another role is not stored. */
static bool is_ssh_server(struct str role)
{
        const struct service_row *service = services_of_role(role);

        return service != NULL && (service->certificate & SERVICE_CERT_SSH) != 0;
}

static size_t size_of_list(const struct str *list, size_t count)
{
        size_t size = 0;

        for (size_t i = 0; i < count; i++)
                size += list[i].len;
        return size;
}

static size_t copy_list(struct arena *a, const struct str *list, size_t count, struct str *ret)
{
        for (size_t i = 0; i < count; i++)
                ret[i] = arena_str(a, list[i]);
        return count;
}

struct error *host_identity_make(struct host_identity *ret, const struct host_keys *keys,
                                 const struct host_certificates *certs, struct host_expectation expected)
{
        AUTO_PTR(arena) scratch = arena_new(IDENTITY_ARENA_MAX);
        struct cert_info info;

        TRY(cert_read(scratch, certs->tls_cert, &info));
        TRY(check_subject(&info, expected));
        TRY(cert_check_key(certs->tls_cert, &keys->tls));
        TRY(check_pins(&expected.pins, certs));
        TRY(check_chain(certs));
        bool has_ssh = is_ssh_server(info.role) && !str_is_empty(certs->ssh_cert);
        if (has_ssh)
                TRY(check_ssh(scratch, keys, certs));

        AUTO(secret) tls_pem = { 0 };
        AUTO(secret) ssh_pem = { 0 };
        TRY(key_to_pem(&keys->tls, &tls_pem));
        if (keys->ssh.handle != NULL)
                TRY(key_to_pem(&keys->ssh, &ssh_pem));

        size_t total = certs->tls_cert.len + certs->ssh_cert.len + size_of_list(certs->tls_ca_certs, certs->tls_ca_count) +
                       size_of_list(certs->ssh_ca_keys, certs->ssh_ca_count) +
                       size_of_list(certs->tls_user_ca_certs, certs->tls_user_ca_count) +
                       size_of_list(certs->ssh_user_ca_keys, certs->ssh_user_ca_count);
        if (total > IDENTITY_ARENA_MAX / 2)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the certificates are larger than %d bytes",
                                 IDENTITY_ARENA_MAX / 2);

        struct arena *a = arena_new(IDENTITY_ARENA_MAX);
        struct host_identity id = {
                .role = arena_str(a, info.role),
                .host_id = arena_str(a, info.host_id),
                .cluster = arena_str(a, info.cluster),
                .serial = arena_str(a, info.serial_hex),
                .times = info.times,
                .tls_key_pem = tls_pem,
                .ssh_key_pem = ssh_pem,
                .arena = a,
        };
        tls_pem = ssh_pem = (struct secret){ 0 };
        id.certs.tls_cert = arena_str(a, certs->tls_cert);
        id.certs.vouching_count = copy_list(a, certs->vouching_pins, certs->vouching_count, id.certs.vouching_pins);
        id.certs.ca_revision = arena_str(a, str_slice(certs->ca_revision, 0, LIMIT_NAME));
        id.certs.ssh_cert = has_ssh ? arena_str(a, certs->ssh_cert) : STR("");
        id.certs.tls_ca_count = copy_list(a, certs->tls_ca_certs, certs->tls_ca_count, id.certs.tls_ca_certs);
        if (has_ssh)
                id.certs.ssh_ca_count = copy_list(a, certs->ssh_ca_keys, certs->ssh_ca_count, id.certs.ssh_ca_keys);
        id.certs.tls_user_ca_count =
                copy_list(a, certs->tls_user_ca_certs, certs->tls_user_ca_count, id.certs.tls_user_ca_certs);
        id.certs.ssh_user_ca_count =
                copy_list(a, certs->ssh_user_ca_keys, certs->ssh_user_ca_count, id.certs.ssh_user_ca_keys);
        *ret = id;
        return NULL;
}

void host_certificates_drop_ssh(struct host_certificates *certs)
{
        certs->ssh_cert = (struct str){ 0 };
        certs->ssh_ca_count = certs->ssh_user_ca_count = 0;
}

void host_identity_release(struct host_identity *id)
{
        secret_release(&id->tls_key_pem);
        secret_release(&id->ssh_key_pem);
        arena_free(id->arena);
        *id = (struct host_identity){ 0 };
}

struct error *host_identity_check_times(const struct host_identity *id, struct walltime now)
{
        if (now.ns < id->times.not_after.ns)
                return NULL;
        AUTO(buf) end = BUF_MAX(64);
        walltime_put_rfc3339(&end, id->times.not_after);
        return error_new(ERROR_UNAUTHENTICATED, "this host's certificate expired at %s", buf_c(&end));
}

struct error *host_identity_check_proof(const struct host_identity *id, struct str sent)
{
        if (!id->has_join_proof || str_is_empty(sent) || str_equal(sent, str_of_bytes(id->join_proof, sizeof id->join_proof)))
                return NULL;
        return error_hint(error_new(ERROR_UNAUTHENTICATED,
                                    "the certificate of the join was issued for the proof of another host"),
                          "the Proxy Service of the join has answered in place of the Auth Service: check that proxy, and remove the host that "
                          "it created: tctl rm node/%.*s", STR_ARG(id->host_id));
}

/* The lifetime is counted from the issue of the certificate, not from its backdated notBefore. */
struct walltime host_identity_renew_at(const struct host_identity *id, unsigned jitter)
{
        struct walltime made = walltime_add(id->times.not_before, SECONDS(LIMIT_CERT_BACKDATE_SECONDS));
        if (made.ns >= id->times.not_after.ns)
                made = id->times.not_before;
        int64_t life = walltime_since(id->times.not_after, made).ns;
        int64_t spread = life / 10;
        int64_t offset = life / 2 - spread + 2 * spread / 1000 * (int64_t)(jitter > 1000 ? 1000 : jitter);
        return walltime_add(made, (struct duration){ offset });
}

bool host_times_are_early(struct cert_times times, struct walltime now, struct duration skew)
{
        return walltime_add(now, skew).ns < times.not_before.ns;
}

struct duration host_clock_skew(struct cert_times times, struct walltime now)
{
        return walltime_since(walltime_add(times.not_before, SECONDS(LIMIT_CERT_BACKDATE_SECONDS)), now);
}

void host_identity_trust_pem(const struct host_identity *id, struct buf *out)
{
        for (size_t i = 0; i < id->certs.tls_ca_count; i++)
                cert_der_to_pem(id->certs.tls_ca_certs[i], out);
}

void host_identity_chain_pem(const struct host_identity *id, struct buf *out)
{
        cert_der_to_pem(id->certs.tls_cert, out);
        host_identity_trust_pem(id, out);
}

void host_identity_user_trust_pem(const struct host_identity *id, struct buf *out)
{
        for (size_t i = 0; i < id->certs.tls_user_ca_count; i++)
                cert_der_to_pem(id->certs.tls_user_ca_certs[i], out);
}

void cluster_auth_name(struct str cluster, struct buf *out)
{
        hex_encode(out, cluster);
        buf_put_c(out, ".teleport.cluster.local");
}

void cluster_auth_names(struct str cluster, struct buf *name, struct buf *alpn)
{
        cluster_auth_name(cluster, name);
        buf_put_c(alpn, "teleport-auth@");
        buf_put(alpn, buf_str(name));
}
