/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/hosts.h"

#include "base/names.h"

static bool is_attested_as(const Cteleport__State__V1__Host *host, const struct join_method *method, const struct join_attributes *attributes)
{
        struct join_attributes recorded;

        host_attributes(host, &recorded);
        return str_equal(str_of(host->join_method), str_of(method->name)) && join_attributes_equal(&recorded, attributes);
}

bool host_is_same(const Cteleport__State__V1__Host *host, const struct join_method *method, struct str binding,
                  const struct join_attributes *attributes)
{
        return is_attested_as(host, method, attributes) && str_equal(str_of(host->binding), binding);
}

struct error *host_check_claim(const Cteleport__State__V1__Host *host, struct str host_id, const struct join_method *method,
                               const struct join_attributes *attributes)
{
        if (!name_is_uuid(host_id) && (method->owns_host_id == NULL || !method->owns_host_id(host_id, attributes)))
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "the host ID %.*s is that of an EC2 instance, but AWS does not identify this host as that instance",
                                                      STR_ARG(host_id)), REASON_HOST_ID),
                                  "remove host_uuid and proc from the data_dir of this host, it then gets a new ID");
        if (host != NULL && (attributes->count == 0 || !is_attested_as(host, method, attributes)))
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "the host ID %.*s belongs to a host with another identity",
                                                      STR_ARG(host_id)), REASON_HOST_ID),
                                  "was this machine cloned? remove host_uuid and proc from its data_dir, it then gets a new ID");
        return NULL;
}

bool host_is_later_than(const Cteleport__State__V1__Host *host, struct cert_issue cert)
{
        return cert_issue_is_before(cert, (struct cert_issue){ host->member_since, host->member_serial_time });
}

bool host_has_role(const Cteleport__State__V1__Host *host, struct str role)
{
        if (str_equal(role, STR("Instance")))
                return true;
        for (size_t i = 0; i < host->n_system_roles; i++)
                if (str_equal(str_of(host->system_roles[i]), role))
                        return true;
        return false;
}
