// Reasons: the CamelCase word of a condition, an event or an error, by which a person finds what it
// means and what to do. A contract with the user: a name is never given another meaning.
//
// The one place where a name is written. reasons.cc explains each, and the tables of crd/README.md
// are made from it: hack/checks/reasons.py --fix. No code here, so that drivers may include it.
#pragma once

#include <string_view>
#include <vector>

namespace oms::crd {

namespace reason {
// Ready.
inline constexpr char kUpToDate[] = "UpToDate";
inline constexpr char kSucceeded[] = "Succeeded";
inline constexpr char kRolledBackByRequest[] = "RolledBackByRequest";
inline constexpr char kProgressing[] = "Progressing";
inline constexpr char kRollingBack[] = "RollingBack";
inline constexpr char kProgressingWithRetry[] = "ProgressingWithRetry";
inline constexpr char kSuspended[] = "Suspended";
inline constexpr char kPlanned[] = "Planned";
inline constexpr char kAwaitingApproval[] = "AwaitingApproval";
inline constexpr char kOutsideWindow[] = "OutsideWindow";
inline constexpr char kAwaitingHaSwitch[] = "AwaitingHASwitch";
inline constexpr char kOmsNotRunning[] = "OMSNotRunning";
inline constexpr char kOmsUnhealthy[] = "OMSUnhealthy";
inline constexpr char kRolledBackAfterFailure[] = "RolledBackAfterFailure";
inline constexpr char kVersionDiffers[] = "VersionDiffers";
inline constexpr char kNewContainerGone[] = "NewContainerGone";
inline constexpr char kAbandoned[] = "Abandoned";
inline constexpr char kAsExpected[] = "AsExpected";
// Steps.
inline constexpr char kNotStarted[] = "NotStarted";
inline constexpr char kInProgress[] = "InProgress";
inline constexpr char kDone[] = "Done";
inline constexpr char kSkipped[] = "Skipped";
inline constexpr char kFailed[] = "Failed";
inline constexpr char kReverted[] = "Reverted";
// The spec.
inline constexpr char kInvalidVersion[] = "InvalidVersion";
inline constexpr char kUnknownVersion[] = "UnknownVersion";
inline constexpr char kUnsupportedPath[] = "UnsupportedPath";
inline constexpr char kDowngradeRefused[] = "DowngradeRefused";
inline constexpr char kVersionUnknown[] = "VersionUnknown";
inline constexpr char kNoVersionInTag[] = "NoVersionInTag";
inline constexpr char kNotSupportedYet[] = "NotSupportedYet";
inline constexpr char kEngineNotAllowed[] = "EngineNotAllowed";
inline constexpr char kBackupDirectoryNotAllowed[] = "BackupDirectoryNotAllowed";
inline constexpr char kArchiveNotAllowed[] = "ArchiveNotAllowed";
inline constexpr char kInvalidSpec[] = "InvalidSpec";
inline constexpr char kInvalidWindow[] = "InvalidWindow";
inline constexpr char kNodesChanged[] = "NodesChanged";
inline constexpr char kWrongEngine[] = "WrongEngine";
inline constexpr char kWrongMetaDb[] = "WrongMetaDB";
inline constexpr char kSecretUnreadable[] = "SecretUnreadable";
inline constexpr char kCrdTooOld[] = "CRDTooOld";
// OMS and its container, before the stop.
inline constexpr char kContainerNotFound[] = "ContainerNotFound";
inline constexpr char kNotAnOmsContainer[] = "NotAnOMSContainer";
inline constexpr char kConfigNotMounted[] = "ConfigNotMounted";
inline constexpr char kConfigUnreadable[] = "ConfigUnreadable";
inline constexpr char kConfigFileExists[] = "ConfigFileExists";
inline constexpr char kConfigIsLink[] = "ConfigIsLink";
inline constexpr char kConfigInvalid[] = "ConfigInvalid";
inline constexpr char kHostNotInConfig[] = "HostNotInConfig";
inline constexpr char kGuideFlags[] = "GuideFlags";
inline constexpr char kAutoRemove[] = "AutoRemove";
inline constexpr char kOwnedByOtherTool[] = "OwnedByOtherTool";
inline constexpr char kNameTaken[] = "NameTaken";
inline constexpr char kContainerNameTaken[] = "ContainerNameTaken";
inline constexpr char kHelperNameTaken[] = "HelperNameTaken";
inline constexpr char kSecondContainerRuns[] = "SecondContainerRuns";
inline constexpr char kUnlistedHostOnline[] = "UnlistedHostOnline";
inline constexpr char kSameContainer[] = "SameContainer";
inline constexpr char kSameHostIp[] = "SameHostIP";
inline constexpr char kNodeVersionsDiffer[] = "NodeVersionsDiffer";
inline constexpr char kNodeMetaDbsDiffer[] = "NodeMetaDBsDiffer";
inline constexpr char kRunFolderNotMounted[] = "RunFolderNotMounted";
inline constexpr char kKeepTasksImpossible[] = "KeepTasksImpossible";
inline constexpr char kNoManagementNode[] = "NoManagementNode";
inline constexpr char kDuplicateTaskNames[] = "DuplicateTaskNames";
inline constexpr char kAcknowledgementNeeded[] = "AcknowledgementNeeded";
inline constexpr char kTasksNotReady[] = "TasksNotReady";
inline constexpr char kTaskApiDenied[] = "TaskAPIDenied";
inline constexpr char kTaskApiNotOffered[] = "TaskAPINotOffered";
inline constexpr char kTaskApiUnreachable[] = "TaskAPIUnreachable";
inline constexpr char kTaskApiTimeout[] = "TaskAPITimeout";
inline constexpr char kTaskApiRefused[] = "TaskAPIRefused";
inline constexpr char kTaskApiAnswerInvalid[] = "TaskAPIAnswerInvalid";
inline constexpr char kBlackRegionNoChanged[] = "BlackRegionNoChanged";
inline constexpr char kHaConfigInvalid[] = "HAConfigInvalid";
inline constexpr char kHaConfigMissing[] = "HAConfigMissing";
inline constexpr char kHaConfigUnreadable[] = "HAConfigUnreadable";
inline constexpr char kHaConfigChanged[] = "HAConfigChanged";
inline constexpr char kCertificateHalfMounted[] = "CertificateHalfMounted";
inline constexpr char kCertificateNotMounted[] = "CertificateNotMounted";
inline constexpr char kCertificateUnreadable[] = "CertificateUnreadable";
inline constexpr char kCertificateExpired[] = "CertificateExpired";
inline constexpr char kCertificateNotYetValid[] = "CertificateNotYetValid";
inline constexpr char kCertificateUntrusted[] = "CertificateUntrusted";
inline constexpr char kKeyUnreadable[] = "KeyUnreadable";
inline constexpr char kKeyOfAnotherCertificate[] = "KeyOfAnotherCertificate";
// The image.
inline constexpr char kArchiveNotFound[] = "ArchiveNotFound";
inline constexpr char kArchiveChecksumDiffers[] = "ArchiveChecksumDiffers";
inline constexpr char kImageArchive[] = "ImageArchive";
inline constexpr char kImageIsTheOldOne[] = "ImageIsTheOldOne";
inline constexpr char kImageVersionDiffers[] = "ImageVersionDiffers";
inline constexpr char kImageNotInArchive[] = "ImageNotInArchive";
inline constexpr char kImageIdDiffers[] = "ImageIDDiffers";
inline constexpr char kImageLoadFailed[] = "ImageLoadFailed";
inline constexpr char kImagePullFailed[] = "ImagePullFailed";
inline constexpr char kImageSaveFailed[] = "ImageSaveFailed";
inline constexpr char kUpgradeScriptMissing[] = "UpgradeScriptMissing";
inline constexpr char kCorrectionJarMissing[] = "CorrectionJarMissing";
// Engine and MetaDB.
inline constexpr char kEngineUnreachable[] = "EngineUnreachable";
inline constexpr char kEngineTls[] = "EngineTls";
inline constexpr char kEngineDenied[] = "EngineDenied";
inline constexpr char kEngineEndpoint[] = "EngineEndpoint";
inline constexpr char kEngineApiVersion[] = "EngineApiVersion";
inline constexpr char kEngineRefused[] = "EngineRefused";
inline constexpr char kEngineError[] = "EngineError";
inline constexpr char kEngineConflict[] = "EngineConflict";
inline constexpr char kEngineAnswerTooLong[] = "EngineAnswerTooLong";
inline constexpr char kNoSuchContainer[] = "NoSuchContainer";
inline constexpr char kNoSuchImage[] = "NoSuchImage";
inline constexpr char kNotAFile[] = "NotAFile";
inline constexpr char kFileTooLarge[] = "FileTooLarge";
inline constexpr char kMetaDbUnreachable[] = "MetaDBUnreachable";
inline constexpr char kMetaDbTlsFailed[] = "MetaDBTLSFailed";
inline constexpr char kMetaDbTimeout[] = "MetaDBTimeout";
inline constexpr char kMetaDbBusy[] = "MetaDBBusy";
inline constexpr char kMetaDbDenied[] = "MetaDBDenied";
inline constexpr char kMetaDbError[] = "MetaDBError";
inline constexpr char kMetaDbNotFound[] = "MetaDBNotFound";
inline constexpr char kDatabaseNotFound[] = "DatabaseNotFound";
inline constexpr char kConnectionsEnding[] = "ConnectionsEnding";
inline constexpr char kProbeDatabaseInUse[] = "ProbeDatabaseInUse";
inline constexpr char kCannotFence[] = "CannotFence";
inline constexpr char kPacketTooSmall[] = "PacketTooSmall";
inline constexpr char kViewBroken[] = "ViewBroken";
inline constexpr char kNotThisOms[] = "NotThisOMS";
inline constexpr char kHeartbeatTableMissing[] = "HeartbeatTableMissing";
inline constexpr char kHeartbeatTablesChanged[] = "HeartbeatTablesChanged";
// Owner, record and volume.
inline constexpr char kOwnedByAnother[] = "OwnedByAnother";
inline constexpr char kOwnershipChanged[] = "OwnershipChanged";
inline constexpr char kOperationOwnedByAnother[] = "OperationOwnedByAnother";
inline constexpr char kOperationsDiffer[] = "OperationsDiffer";
inline constexpr char kWrongBackupVolume[] = "WrongBackupVolume";
inline constexpr char kTemporaryFolder[] = "TemporaryFolder";
inline constexpr char kBackupVolume[] = "BackupVolume";
inline constexpr char kRecordFormat[] = "RecordFormat";
inline constexpr char kDiskLow[] = "DiskLow";
// During an upgrade.
inline constexpr char kNoEffect[] = "NoEffect";
inline constexpr char kOldContainerGone[] = "OldContainerGone";
inline constexpr char kNewContainerStarted[] = "NewContainerStarted";
inline constexpr char kOldContainerStarted[] = "OldContainerStarted";
inline constexpr char kDumpFailed[] = "DumpFailed";
inline constexpr char kDumpIncomplete[] = "DumpIncomplete";
inline constexpr char kBackupDisturbed[] = "BackupDisturbed";
inline constexpr char kBackupBroken[] = "BackupBroken";
inline constexpr char kManifestInvalid[] = "ManifestInvalid";
inline constexpr char kManifestFormat[] = "ManifestFormat";
inline constexpr char kDumpUnsupported[] = "DumpUnsupported";
inline constexpr char kSumsImpossible[] = "SumsImpossible";
inline constexpr char kDigestFailed[] = "DigestFailed";
inline constexpr char kAssistantFailed[] = "AssistantFailed";
inline constexpr char kTwoTableRenameMissing[] = "TwoTableRenameMissing";
inline constexpr char kHostFile[] = "HostFile";
inline constexpr char kMarkerFailed[] = "MarkerFailed";
inline constexpr char kConsoleNotSwitched[] = "ConsoleNotSwitched";
inline constexpr char kRelayFailed[] = "RelayFailed";
inline constexpr char kChildNotStarted[] = "ChildNotStarted";
inline constexpr char kScriptFailed[] = "ScriptFailed";
inline constexpr char kScriptOutcomeUnknown[] = "ScriptOutcomeUnknown";
inline constexpr char kNewContainerDied[] = "NewContainerDied";
inline constexpr char kServicesNotHealthy[] = "ServicesNotHealthy";
inline constexpr char kDeadlineExceeded[] = "DeadlineExceeded";
// During a rollback.
inline constexpr char kVersionReverted[] = "VersionReverted";
inline constexpr char kFailurePolicy[] = "FailurePolicy";
inline constexpr char kDeleted[] = "Deleted";
inline constexpr char kSuperseded[] = "Superseded";
inline constexpr char kRetryRequested[] = "RetryRequested";
inline constexpr char kNoBackup[] = "NoBackup";
inline constexpr char kBackupCorrupt[] = "BackupCorrupt";
inline constexpr char kUpgradedStateUnsaved[] = "UpgradedStateUnsaved";
inline constexpr char kLoadFailed[] = "LoadFailed";
inline constexpr char kRestoreDiffers[] = "RestoreDiffers";
inline constexpr char kOldImageGone[] = "OldImageGone";
inline constexpr char kOldImageDiffers[] = "OldImageDiffers";
inline constexpr char kOldContainerDied[] = "OldContainerDied";
// Other events.
inline constexpr char kUpgradeStarted[] = "UpgradeStarted";
inline constexpr char kUpgradeSucceeded[] = "UpgradeSucceeded";
inline constexpr char kRollbackStarted[] = "RollbackStarted";
inline constexpr char kRolledBack[] = "RolledBack";
inline constexpr char kRollbackCalledOff[] = "RollbackCalledOff";
inline constexpr char kSeeToItFirst[] = "SeeToItFirst";
inline constexpr char kComponentUpgraded[] = "ComponentUpgraded";
inline constexpr char kDatabasesBackedUp[] = "DatabasesBackedUp";
inline constexpr char kUpgradedStateSaved[] = "UpgradedStateSaved";
inline constexpr char kDatabaseRestored[] = "DatabaseRestored";
inline constexpr char kDifferenceAccepted[] = "DifferenceAccepted";
inline constexpr char kSaidWhole[] = "SaidWhole";
inline constexpr char kForeignConnectionsEnded[] = "ForeignConnectionsEnded";
inline constexpr char kOldContainerRecreated[] = "OldContainerRecreated";
inline constexpr char kHaRestored[] = "HARestored";
inline constexpr char kHaSwitchedOff[] = "HASwitchedOff";
inline constexpr char kDowntimeNearBudget[] = "DowntimeNearBudget";
inline constexpr char kDowntimeOverBudget[] = "DowntimeOverBudget";
inline constexpr char kConfigFileLeft[] = "ConfigFileLeft";
inline constexpr char kConfigFileKept[] = "ConfigFileKept";
inline constexpr char kContainerNotRemoved[] = "ContainerNotRemoved";
inline constexpr char kConsoleAutostart[] = "ConsoleAutostart";
inline constexpr char kBackupsPruned[] = "BackupsPruned";
inline constexpr char kBackupsNotPruned[] = "BackupsNotPruned";
inline constexpr char kFollowUp[] = "FollowUp";
inline constexpr char kOrphaned[] = "Orphaned";
}  // namespace reason

// Of errors that the caller handles: no condition and no event shows them.
namespace inner_reason {
inline constexpr char kBadArchive[] = "BadArchive";
inline constexpr char kCancelled[] = "Cancelled";
inline constexpr char kGzipBroken[] = "GzipBroken";
inline constexpr char kHostFileExists[] = "HostFileExists";
inline constexpr char kInvalidName[] = "InvalidName";
inline constexpr char kInvalidPassword[] = "InvalidPassword";
inline constexpr char kNotFound[] = "NotFound";
inline constexpr char kPlanIncomplete[] = "PlanIncomplete";
inline constexpr char kRefused[] = "Refused";
inline constexpr char kSparseArchive[] = "SparseArchive";
inline constexpr char kZstdBroken[] = "ZstdBroken";
}  // namespace inner_reason

// What the names of one row mean, and what to do about it (empty: nothing); Markdown.
struct ReasonRow {
  std::vector<std::string_view> names;
  std::string_view means;
  std::string_view to_do;
};

// The rows that a reader looks for under one title.
struct ReasonGroup {
  std::string_view title;
  std::vector<ReasonRow> rows;
};

// Each name of crd::reason, once.
const std::vector<ReasonGroup>& ReasonTable();

}  // namespace oms::crd
