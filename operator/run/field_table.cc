#include "operator/run/field_table.h"

namespace sandboxrun::run {
namespace {

using enum FieldKind;

constexpr std::string_view kArchiveFormats[] = {"Auto",    "Tar",   "TarGzip",
                                                "TarZstd", "TarXz", "PixiPack"};
constexpr std::string_view kResultFormats[] = {"TarGzip", "TarZstd"};
constexpr std::string_view kNetworkModes[] = {"None", "Egress"};
constexpr std::string_view kDnsModes[] = {"None", "Cluster"};
constexpr std::string_view kMediums[] = {"Disk", "Memory"};
constexpr std::string_view kProtocols[] = {"TCP", "UDP", "SCTP"};
constexpr std::string_view kOperators[] = {"Exists", "Equal"};
constexpr std::string_view kEffects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute"};

constexpr Field kNameFields[] = {{.name = "name", .required = true}};
constexpr ObjectType kNameReference{"a reference by name", kNameFields};

constexpr Field kKeyFields[] = {{.name = "name", .required = true},
                                {.name = "key", .required = true}};
constexpr ObjectType kKeyReference{"a reference to a key", kKeyFields};

constexpr Field kCaFields[] = {{.name = "name", .required = true}, {.name = "key"}};
constexpr ObjectType kCaReference{"a reference to certificates", kCaFields};

constexpr Field kUrlFromFields[] = {
    {.name = "secretKeyRef", .kind = Object, .object = &kKeyReference, .required = true}};
constexpr ObjectType kUrlFrom{"urlFrom", kUrlFromFields};

constexpr Field kHttpsFields[] = {
    {.name = "url"},
    {.name = "urlFrom", .kind = Object, .object = &kUrlFrom},
    {.name = "headersSecretRef", .kind = Object, .object = &kNameReference},
    {.name = "caConfigMapRef", .kind = Object, .object = &kCaReference}};
constexpr ObjectType kHttps{"an https source", kHttpsFields};

constexpr Field kS3Fields[] = {
    {.name = "endpoint"},
    {.name = "region"},
    {.name = "bucket", .required = true},
    {.name = "key", .required = true},
    {.name = "versionId"},
    {.name = "credentialsSecretRef", .kind = Object, .object = &kNameReference}};
constexpr ObjectType kS3{"an s3 source", kS3Fields};

// An upload makes a new version; it cannot name one.
constexpr Field kS3UploadFields[] = {
    {.name = "endpoint"},
    {.name = "region"},
    {.name = "bucket", .required = true},
    {.name = "key", .required = true},
    {.name = "credentialsSecretRef", .kind = Object, .object = &kNameReference}};
constexpr ObjectType kS3Upload{"an s3 upload", kS3UploadFields};

constexpr Field kHttpsUploadFields[] = {
    {.name = "url"},
    {.name = "urlFrom", .kind = Object, .object = &kUrlFrom},
    {.name = "headersSecretRef", .kind = Object, .object = &kNameReference},
    {.name = "caConfigMapRef", .kind = Object, .object = &kCaReference}};
constexpr ObjectType kHttpsUpload{"an https upload", kHttpsUploadFields};

constexpr Field kFileFields[] = {{.name = "path", .required = true}};
constexpr ObjectType kFile{"a file source", kFileFields};

constexpr Field kArchiveSourceFields[] = {
    {.name = "https", .kind = Object, .object = &kHttps},
    {.name = "s3", .kind = Object, .object = &kS3},
    {.name = "file", .kind = Object, .object = &kFile, .local_only = true}};
constexpr ObjectType kArchiveSource{"a source", kArchiveSourceFields};

constexpr Field kAssetSourceFields[] = {
    {.name = "https", .kind = Object, .object = &kHttps},
    {.name = "s3", .kind = Object, .object = &kS3},
    {.name = "configMap", .kind = Object, .object = &kKeyReference},
    {.name = "inline"},
    {.name = "file", .kind = Object, .object = &kFile, .local_only = true}};
constexpr ObjectType kAssetSource{"a source", kAssetSourceFields};

constexpr Field kArchiveFields[] = {
    {.name = "source", .kind = Object, .object = &kArchiveSource, .required = true},
    {.name = "digest", .required = true},
    {.name = "format", .kind = Enum, .values = kArchiveFormats},
    {.name = "activate"}};
constexpr ObjectType kArchive{"an environment archive", kArchiveFields};

constexpr Field kEnvironmentFields[] = {{.name = "image", .required = true},
                                        {.name = "archive", .kind = Object, .object = &kArchive}};
constexpr ObjectType kEnvironment{"an environment", kEnvironmentFields};

constexpr Field kValueFromFields[] = {
    {.name = "secretKeyRef", .kind = Object, .object = &kKeyReference},
    {.name = "configMapKeyRef", .kind = Object, .object = &kKeyReference}};
constexpr ObjectType kValueFrom{"valueFrom", kValueFromFields, true};

constexpr Field kEnvFields[] = {{.name = "name", .required = true},
                                {.name = "value"},
                                {.name = "valueFrom", .kind = Object, .object = &kValueFrom}};
constexpr ObjectType kEnvVar{"an environment variable", kEnvFields};

constexpr Field kSetupFields[] = {{.name = "name", .required = true},
                                  {.name = "command", .kind = StringList, .required = true},
                                  {.name = "timeoutSeconds", .kind = Integer}};
constexpr ObjectType kSetupStep{"a setup step", kSetupFields};

constexpr Field kAssetFields[] = {
    {.name = "name", .required = true},
    {.name = "source", .kind = Object, .object = &kAssetSource, .required = true},
    {.name = "target", .required = true},
    {.name = "digest"},
    {.name = "unpack", .kind = Boolean},
    {.name = "readOnly", .kind = Boolean},
    {.name = "mode", .kind = Integer}};
constexpr ObjectType kAsset{"an asset", kAssetFields};

constexpr Field kUploadFields[] = {{.name = "https", .kind = Object, .object = &kHttpsUpload},
                                   {.name = "s3", .kind = Object, .object = &kS3Upload}};
constexpr ObjectType kUpload{"an upload", kUploadFields};

constexpr Field kResultsFields[] = {{.name = "path"},
                                    {.name = "format", .kind = Enum, .values = kResultFormats},
                                    {.name = "maxBytes", .kind = Integer},
                                    {.name = "maxEntries", .kind = Integer},
                                    {.name = "timeoutSeconds", .kind = Integer},
                                    {.name = "upload", .kind = Object, .object = &kUpload},
                                    {.name = "skipUpload", .kind = Boolean}};
constexpr ObjectType kResults{"results", kResultsFields};

constexpr Field kIpBlockFields[] = {{.name = "cidr", .required = true},
                                    {.name = "except", .kind = StringList}};
constexpr ObjectType kIpBlock{"an ipBlock", kIpBlockFields};

constexpr Field kPeerFields[] = {
    {.name = "ipBlock", .kind = Object, .object = &kIpBlock, .required = true}};
constexpr ObjectType kPeer{"an egress peer", kPeerFields};

constexpr Field kPortFields[] = {{.name = "protocol", .kind = Enum, .values = kProtocols},
                                 {.name = "port", .kind = Integer},
                                 {.name = "endPort", .kind = Integer}};
constexpr ObjectType kPort{"an egress port", kPortFields};

constexpr Field kEgressFields[] = {
    {.name = "to", .kind = ObjectList, .object = &kPeer, .required = true},
    {.name = "ports", .kind = ObjectList, .object = &kPort}};
constexpr ObjectType kEgressRule{"an egress rule", kEgressFields};

constexpr Field kNetworkFields[] = {{.name = "mode", .kind = Enum, .values = kNetworkModes},
                                    {.name = "egress", .kind = ObjectList, .object = &kEgressRule},
                                    {.name = "dns", .kind = Enum, .values = kDnsModes}};
constexpr ObjectType kNetwork{"network", kNetworkFields};

constexpr Field kScratchFields[] = {{.name = "medium", .kind = Enum, .values = kMediums},
                                    {.name = "sizeLimit", .kind = Quantity}};
constexpr ObjectType kScratch{"scratch", kScratchFields};

constexpr Field kResourceListFields[] = {{.name = "cpu", .kind = Quantity},
                                         {.name = "memory", .kind = Quantity},
                                         {.name = "ephemeral-storage", .kind = Quantity}};
constexpr ObjectType kResourceList{"a list of resources", kResourceListFields};

constexpr Field kResourcesFields[] = {
    {.name = "requests", .kind = Object, .object = &kResourceList},
    {.name = "limits", .kind = Object, .object = &kResourceList}};
constexpr ObjectType kResources{"resources", kResourcesFields};

constexpr Field kTolerationFields[] = {{.name = "key"},
                                       {.name = "operator", .kind = Enum, .values = kOperators},
                                       {.name = "value"},
                                       {.name = "effect", .kind = Enum, .values = kEffects},
                                       {.name = "tolerationSeconds", .kind = Integer}};
constexpr ObjectType kToleration{"a toleration", kTolerationFields};

constexpr Field kSpecFields[] = {
    {.name = "environment", .kind = Object, .object = &kEnvironment, .required = true},
    {.name = "command", .kind = StringList, .required = true},
    {.name = "args", .kind = StringList},
    {.name = "workingDir"},
    {.name = "env", .kind = ObjectList, .object = &kEnvVar},
    {.name = "setup", .kind = ObjectList, .object = &kSetupStep},
    {.name = "assets", .kind = ObjectList, .object = &kAsset},
    {.name = "results", .kind = Object, .object = &kResults},
    {.name = "network", .kind = Object, .object = &kNetwork},
    {.name = "scratch", .kind = Object, .object = &kScratch},
    {.name = "resources", .kind = Object, .object = &kResources},
    {.name = "runtimeClassName"},
    {.name = "nodeSelector", .kind = StringMap},
    {.name = "tolerations", .kind = ObjectList, .object = &kToleration},
    {.name = "priorityClassName"},
    {.name = "imagePullSecrets", .kind = ObjectList, .object = &kNameReference},
    {.name = "activeDeadlineSeconds", .kind = Integer},
    {.name = "startDeadlineSeconds", .kind = Integer},
    {.name = "ttlSecondsAfterFinished", .kind = Integer},
    {.name = "backoffLimit", .kind = Integer},
    {.name = "suspend", .kind = Boolean},
    {.name = "cancel", .kind = Boolean},
    {.name = "managedBy"}};
constexpr ObjectType kSpec{"spec", kSpecFields};

// What is not looked at is listed all the same: an unknown name in metadata is a typing error.
constexpr Field kMetadataFields[] = {{.name = "name"},
                                     {.name = "generateName"},
                                     {.name = "namespace"},
                                     {.name = "labels", .kind = StringMap},
                                     {.name = "annotations", .kind = StringMap},
                                     {.name = "uid"},
                                     {.name = "generation", .kind = Integer},
                                     {.name = "resourceVersion"},
                                     {.name = "creationTimestamp"},
                                     {.name = "deletionTimestamp"},
                                     {.name = "deletionGracePeriodSeconds", .kind = Integer},
                                     {.name = "finalizers", .kind = StringList},
                                     {.name = "ownerReferences", .kind = Any},
                                     {.name = "managedFields", .kind = Any},
                                     {.name = "selfLink"}};
constexpr ObjectType kMetadata{"metadata", kMetadataFields};

constexpr Field kDocumentFields[] = {
    {.name = "apiVersion", .required = true},
    {.name = "kind", .required = true},
    {.name = "metadata", .kind = Object, .object = &kMetadata, .required = true},
    {.name = "spec", .kind = Object, .object = &kSpec, .required = true},
    {.name = "status", .kind = Any}};
constexpr ObjectType kDocument{"a SandboxRun", kDocumentFields};

}  // namespace

const ObjectType& document_type() {
  return kDocument;
}
const ObjectType& spec_type() {
  return kSpec;
}

}  // namespace sandboxrun::run
