/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/identity_message.h"
#include "rpc/pb.h"

static struct error *take_list(const ProtobufCBinaryData *list, size_t count, struct str *ret, size_t *ret_count)
{
        if (count > HOST_CAS_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the identity names more than %d CAs", HOST_CAS_MAX);
        for (size_t i = 0; i < count; i++)
                ret[i] = pb_str(list[i]);
        *ret_count = count;
        return NULL;
}

struct error *identity_add_user_cas(struct host_certificates *certs, const Cteleport__V1__HostCertsResponse *answer)
{
        certs->ca_revision = str_of(answer->ca_revision);
        TRY(take_list(answer->tls_user_ca_certs, answer->n_tls_user_ca_certs, certs->tls_user_ca_certs,
                      &certs->tls_user_ca_count));
        return take_list(answer->ssh_user_ca_keys, answer->n_ssh_user_ca_keys, certs->ssh_user_ca_keys,
                         &certs->ssh_user_ca_count);
}

struct error *identity_of_message(const Cteleport__Internal__V1__Identity *msg, const char *role,
                                  struct host_identity *ret)
{
        AUTO(host_keys) keys = { 0 };
        struct host_certificates certs = {
                .tls_cert = pb_str(msg->tls_cert),
        };

        TRY(take_list(msg->tls_ca_certs, msg->n_tls_ca_certs, certs.tls_ca_certs, &certs.tls_ca_count));
        TRY(take_list(msg->tls_user_ca_certs, msg->n_tls_user_ca_certs, certs.tls_user_ca_certs,
                      &certs.tls_user_ca_count));
        TRY(key_from_pem(&keys.tls, pb_str(msg->key_pem)));
        return host_identity_make(ret, &keys, &certs, (struct host_expectation){ .role = str_of(role) });
}
