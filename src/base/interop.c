/* SPDX-License-Identifier: Apache-2.0 */
#include "base/interop.h"

#include "base/mem.h"

static bool begins_with_one_of(struct str text, const struct str *list, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (str_starts_with(text, list[i]))
                        return true;
        return false;
}

bool interop_is_grpc_path(struct str path)
{
        static const struct str packages[] = { STR_INIT("/proto."), STR_INIT("/teleport.") };

        return begins_with_one_of(path, packages, ARRAY_LEN(packages));
}

bool interop_is_http_path(struct str path)
{
        static const struct str folders[] = { STR_INIT("/webapi/"), STR_INIT("/v1/"), STR_INIT("/v2/"), STR_INIT("/v3/"),
                                              STR_INIT("/scripts/") };

        return begins_with_one_of(path, folders, ARRAY_LEN(folders));
}

bool interop_is_ssh_alpn(struct str protocol)
{
        static const struct str names[] = { STR_INIT("teleport-reversetunnel"), STR_INIT("teleport-reversetunnelv2"),
                                            STR_INIT("teleport-proxy-ssh") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (str_equal(protocol, names[i]))
                        return true;
        return false;
}

struct error *interop_refuse_client(void)
{
        return error_hint(error_new(ERROR_UNIMPLEMENTED, INTEROP_CLIENT_WHAT), INTEROP_CLIENT_HINT);
}

struct error *interop_refuse_server(const char *seen)
{
        return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                    "the server belongs to a cluster of Teleport itself, with which the programs of cteleport do not work: %s", seen),
                          "use the teleport, tsh and tctl of that cluster, or name the proxy of a cluster of cteleport");
}

struct error *interop_refuse_certificate(struct error *why)
{
        struct error *err = error_hint(error_new(why->code, "the certificate is one of a cluster of Teleport itself, with which the programs of "
                                                            "cteleport do not work"),
                                       "use the teleport, tsh and tctl of that cluster there, or name the proxy of a cluster of cteleport");

        return error_because(err, why);
}

bool interop_is_teleport_answer(struct str body)
{
        /* Releases of cteleport up to 16.1.0 have no mark: only they write these fields in this order, without blanks. */
        static const struct str ours_before = STR_INIT("{\"auth\":{\"type\":\"local\",\"second_factor\":\"otp\",\"allow_passwordless\":false,"
                                                       "\"private_key_policy\":\"none\",\"has_motd\":false},\"proxy\":");

        return str_contains(body, STR("\"server_version\"")) && !str_contains(body, STR(INTEROP_MARK)) && !str_starts_with(body, ours_before);
}
